"""What runs inside of the sandbox's process; imports the standard library, and of this project only itself."""
