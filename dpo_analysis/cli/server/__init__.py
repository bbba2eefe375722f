"""The web server of the app: which requests it answers."""
