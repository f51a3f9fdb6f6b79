"""The command `rcabench`: parse, call, print."""


def main() -> None:
    """Run the command line; the entry point of the `rcabench` command."""
    from rcabench.cli.app import app

    app(prog_name="rcabench")
