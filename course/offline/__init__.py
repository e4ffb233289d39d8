"""What a room without internet needs: make a bundle, and check it."""
