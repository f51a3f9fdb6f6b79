"""How every command reports what went wrong: one message, an exit code, no traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from rcabench.core.errors import RcabenchError

if TYPE_CHECKING:
    from pathlib import Path

USER_ERROR, INCOMPLETE, INTERRUPTED = 2, 3, 130
"""Exit codes beside 0 and 1; a run is incomplete when its money is spent."""

EPILOG = "Every command explains itself with --help."


class Commands(TyperGroup):
    """Commands whose errors become one message on stderr."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command; typer's context type has moved between versions, hence `Any`."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (RcabenchError, OSError) as error:
            if ctx.find_root().params.get("debug"):
                raise
            typer.echo(f"rcabench: {harmless(_message(error))}", err=True)
            raise typer.Exit(USER_ERROR) from None
        except KeyboardInterrupt:
            typer.echo("rcabench: interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def harmless(text: str) -> str:
    """Return a text of a model's or a server's that only shows something: a terminal obeys control characters.

    Example:
        >>> print(harmless("all \\x1b[2J is well"))
        all \\x1b[2J is well
    """
    seen = (each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode() for each in text)
    return "".join(seen)


def shown_path(path: Path) -> str:
    """Return a path as short as it can be typed from here."""
    from pathlib import Path

    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_absolute() and path.is_relative_to(here) else str(path)


def written(file: Path, text: str) -> Path:
    """Write a text file, with the folders above it, and return its path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file
