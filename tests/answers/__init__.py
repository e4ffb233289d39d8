"""Right answers of several kinds, and typical wrong ones with a part of the message that must name the mistake."""
