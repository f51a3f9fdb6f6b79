"""`python -m rcabench`: the command line, where the command itself is not on the path."""

from rcabench.cli import main

if __name__ == "__main__":
    main()
