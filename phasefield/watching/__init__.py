"""A run, or a sweep, as it goes on: a page in the browser served from this machine to itself, or a picture in the terminal."""
