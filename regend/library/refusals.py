"""Why a document is not taken in: the errors that several of its readers raise."""

from __future__ import annotations

from regend.errors import BadInput, TooLarge, WrongMediaType


def broken(message: str) -> BadInput:
    """Return the error for a file that does not hold to its format."""
    return BadInput(
        "document_broken", message, hint="Open it in another program and save it again."
    )


def too_large(message: str) -> TooLarge:
    """Return the error for a document over a bound."""
    return TooLarge("document_too_large", message, hint="Split it, and add the parts.")


def unknown_type(message: str) -> WrongMediaType:
    """Return the error for what is no document."""
    return WrongMediaType(
        "media_type_unknown", message, hint="Markdown, plain text, HTML and PDF can be read."
    )
