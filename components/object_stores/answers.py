"""What an object store said, out of the text of obstore's errors, which have no other fields.

Such a text is obstore's own sentence, the answer's status and body if there was an answer, and
"Debug source" with the chain of causes.
"""

import re
from dataclasses import dataclass

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(.*?)</Code>", re.DOTALL)
_MESSAGE = re.compile(r"<Message>(.*?)</Message>", re.DOTALL)
# Of S3 and Google, and of Azure.
_NO_OBJECT = {"NoSuchKey", "BlobNotFound"}
_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound"}
_ELSEWHERE = {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed"}
# Where in the chain of causes there was no answer.
_TIMED_OUT = re.compile(r"\bTimedOut\b|kind: Timeout\b|operation timed out")
_UNREACHABLE = re.compile(r"kind: (Connect|Request)\b")
# Who is asked for keys if the environment has none.
_MACHINE = re.compile(r"http://(169\.254\.\d+\.\d+|metadata\.google|metadata/)")
_LONGEST = 200
_SILENT = "timed out"
_AWAY = "unreachable"


@dataclass(frozen=True)
class Answer:
    """An answer that is no success, or that there was none.

    Attributes:
        code: The store's name of the error; empty if it gave none.
        reason: What went wrong, in a few words and those of the store.
        status: Of HTTP; 0 if nothing was answered.
        is_none: Whether nothing was answered, or only a part.
    """

    code: str
    reason: str
    status: int
    is_none: bool

    @classmethod
    def of(cls, error: Exception) -> "Answer":
        """Returns the answer that an error of obstore tells of."""
        text, _, causes = str(error).partition("\n\nDebug source")
        code = _CODE.search(text)
        message = _MESSAGE.search(text)
        said = message[1] if message else text.rpartition(" - ")[2]
        status = _STATUS.search(text)
        words = " ".join(said.split())[:_LONGEST]
        number = int(status[1]) if status else 0
        kind = _kind(code[1] if code else "", number, causes)
        if _MACHINE.search(text):
            kind = "there are no keys, neither in the environment nor of this machine"
        reason = f"{kind} ({words})" if kind else words
        return cls(code[1] if code else "", reason, number, kind in (_SILENT, _AWAY))

    @property
    def says_there_is_no_object(self) -> bool:
        """Whether the bucket is there and the object is not; a bare 404 does not say so."""
        return self.code in _NO_OBJECT

    @property
    def may_have_been_done(self) -> bool:
        """Whether a request may have been done all the same: its answer was lost, or an error.

        What is no refusal may come from something between client and store.
        """
        return self.status == 0 or self.status >= 500 or self.status in (408, 429)


def _kind(code: str, status: int, causes: str) -> str:
    """Returns what kind of failure it was; empty if it is none of the known ones."""
    if code in _NO_BUCKET:
        return "no such bucket"
    if code in _ELSEWHERE or 300 <= status < 400 or "redirect" in causes.lower():
        return "redirected, the region or the endpoint is wrong"
    if status in (401, 403):
        return "denied"
    if status:
        return f"the store answered {status}"
    if _TIMED_OUT.search(causes):
        return _SILENT
    return _AWAY if _UNREACHABLE.search(causes) else ""
