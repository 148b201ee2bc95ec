"""Every error a caller may meet, as one tree.

AffidavitError
├── UsageError               what was asked for cannot be asked (exit status 2)
│   ├── UnknownNameError     no such tenant, user, source, run, release
│   ├── NotRepeatableError   a run of which parts were erased, or redacted before they were stored
│   ├── ManifestError        a file the user wrote is malformed; names file and line
│   ├── ProvisioningError    people or groups cannot be changed as a directory asks (SCIM); `kind` says why
│   └── ArgumentsError       what a tool is given is not what its contract asks for
├── AccessDeniedError        the caller may not do this, or it does not exist (never said which)
├── ForbiddenError           the caller holds no grant for an operation that is no secret; the hint names the grant
├── SecondPersonError        what was asked for waits until somebody else confirms it
├── UnauthenticatedError     nobody is signed in, or with something that is no longer valid
├── InProgressError          the same request is being answered already; ask again for its answer
├── PreconditionError        what was to be changed is no longer what whoever asks looked at; `required` if they said nothing
├── OverloadedError          too much is asked for at once; `after` says in how many seconds to ask again
│   └── QuotaError           as much was asked for as may be in a day
├── WorkspaceError           the workspace cannot be used as it is
│   ├── WorkspaceMissingError
│   ├── WorkspaceVersionError
│   ├── WorkspaceDamagedError
│   └── DiskFullError
├── ErasedError              what is asked for was erased, or is about to be and may not
│   └── HeldError            a retention hold forbids the erasure
├── BusyError                somebody else is writing; try again
├── SourceError              a source, or one of its items, could not be read
├── ParseError               an item's content could not be understood
│   ├── UnsupportedError     no parser reads such content
│   └── MissingParserError   the parser is not installed; the hint says how to install it
├── EmbedderError            vectors could not be made
├── ModelError               a language model could not be asked, or what came back cannot be used; `kind` says how
├── RefusedError             a tool may not be called: it is retired, unknown here, or was changed
├── ToolError                a tool did not do what it was asked for; `happened` says how sure that is
├── StoppedError             somebody pulled the kill switch for this
├── GuardError               a guard could not judge; the policy's verdict on failure holds
├── SinkError                a party outside could not be reached, or refuses; `retryable` tells which
├── ProviderError            the sign-in provider could not be asked, or is not what it should be
├── FollowerError            the log could not be handed over to where it is followed
├── IndexDamagedError        the index failed a check; it is a cache and rebuilds itself
└── LogDamagedError          the log does not verify; names the first fault

All have one shape on every surface: ``code``, ``message``, ``hint``, ``retryable``.
"""

from __future__ import annotations


class AffidavitError(Exception):
    """Base of the tree: ``message`` says what is wrong, ``hint`` what to do about it."""

    code = "error"
    retryable = False

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def as_dict(self) -> dict[str, object]:
        """The one shape on the wire."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "retryable": self.retryable,
        }


class UsageError(AffidavitError):
    code = "usage"


class UnknownNameError(UsageError):
    code = "unknown_name"


class NotRepeatableError(UsageError):
    code = "not_repeatable"


class ManifestError(UsageError):
    code = "manifest"


class ProvisioningError(UsageError):
    """``kind`` is RFC 7644's word (3.12): ``uniqueness``, ``mutability``, ``invalidPath``, ``noTarget``, ``invalidFilter``,
    ``invalidValue``, ``invalidSyntax``."""

    code = "provisioning"

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.kind = kind


class ArgumentsError(UsageError):
    code = "arguments"


class AccessDeniedError(AffidavitError):
    code = "not_found"


class ForbiddenError(AffidavitError):
    code = "forbidden"


class SecondPersonError(AffidavitError):
    """``proposal`` is the id of what waits."""

    code = "second_person"

    def __init__(self, message: str, hint: str, proposal: str) -> None:
        super().__init__(message, hint)
        self.proposal = proposal


class UnauthenticatedError(AffidavitError):
    code = "unauthenticated"


class InProgressError(AffidavitError):
    code = "in_progress"
    retryable = True


class PreconditionError(AffidavitError):
    code = "precondition"

    def __init__(self, message: str, hint: str = "", *, required: bool = False) -> None:
        """``required``: nothing was said of what was looked at, and it must be."""
        super().__init__(message, hint)
        self.required = required


class OverloadedError(AffidavitError):
    code = "overloaded"
    retryable = True

    def __init__(self, message: str, hint: str = "", after: int = 1, *, by_caller: bool = False) -> None:
        """``after`` in seconds; ``by_caller`` says that it is this caller who asks too much, not all of them together."""
        super().__init__(message, hint)
        self.after = after
        self.by_caller = by_caller


class QuotaError(OverloadedError):
    code = "quota"


class WorkspaceError(AffidavitError):
    code = "workspace"


class WorkspaceMissingError(WorkspaceError):
    code = "workspace_missing"


class WorkspaceVersionError(WorkspaceError):
    code = "workspace_version"


class WorkspaceDamagedError(WorkspaceError):
    code = "workspace_damaged"


class DiskFullError(WorkspaceError):
    code = "disk_full"
    retryable = True


class ErasedError(AffidavitError):
    code = "erased"


class HeldError(ErasedError):
    code = "held"


class BusyError(AffidavitError):
    code = "busy"
    retryable = True


class SourceError(AffidavitError):
    code = "source"
    retryable = True


class ParseError(AffidavitError):
    code = "parse"


class UnsupportedError(ParseError):
    code = "unsupported"


class MissingParserError(ParseError):
    code = "missing_parser"


class EmbedderError(AffidavitError):
    code = "embedder"
    retryable = True


class ModelError(AffidavitError):
    """``kind``: ``timeout``, ``connection``, ``rate_limit``, ``overloaded``, ``server``, ``schema`` (the answer is not of the
    form that was asked for), ``refused`` (by the provider), ``auth``, ``request`` (ours is wrong), ``cancelled`` or ``budget``.
    ``wait``: seconds the provider asked for, None if it did not."""

    code = "model"
    RETRYABLE = frozenset({"timeout", "connection", "rate_limit", "overloaded", "server"})

    def __init__(self, kind: str, message: str, hint: str = "", *, wait: float | None = None) -> None:
        super().__init__(message, hint)
        self.kind = kind
        self.wait = wait
        self.retryable = kind in self.RETRYABLE


class RefusedError(AffidavitError):
    code = "refused"


class ToolError(AffidavitError):
    """What a tool raises when it cannot do what it was asked for. ``happened`` False: it surely changed nothing, so the call has
    failed, and is tried again if ``retryable``. None: it may have changed something, like any other exception says."""

    code = "tool"

    def __init__(
        self, message: str, hint: str = "", *, happened: bool | None = False, retryable: bool = False
    ) -> None:
        super().__init__(message, hint)
        self.happened = happened
        self.retryable = retryable


class StoppedError(AffidavitError):
    code = "stopped"


class GuardError(AffidavitError):
    code = "guard"
    retryable = True


class SinkError(AffidavitError):
    code = "sink"
    retryable = True

    def __init__(self, message: str, hint: str = "", *, retryable: bool = True) -> None:
        super().__init__(message, hint)
        self.retryable = retryable


class ProviderError(AffidavitError):
    code = "provider"
    retryable = True


class FollowerError(AffidavitError):
    """``retryable`` is set where trying again may help; ``wait`` holds the seconds the receiver asked for, if it did."""

    code = "follower"

    def __init__(
        self, message: str, hint: str = "", *, retryable: bool = False, wait: float | None = None
    ) -> None:
        super().__init__(message, hint)
        self.retryable = retryable
        self.wait = wait


class IndexDamagedError(AffidavitError):
    code = "index_damaged"
    retryable = True


class LogDamagedError(AffidavitError):
    code = "log_damaged"
