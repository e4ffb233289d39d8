"""Keep the notebooks: write the exercises, strip outputs, set the address, pack a release."""
