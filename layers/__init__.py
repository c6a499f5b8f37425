"""The Lambda layers, and how they are built: each folder with a `python` folder or a lock file is one layer."""
