"""One page of the app per module or folder."""
