"""What every section of the agent's configuration is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from agent import private, wire

Name = Annotated[str, AfterValidator(wire.check_name)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Section(BaseModel):
    """A table of the file: keys that it does not know are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Secret(Section):
    """A password, written plain, or where it stands: a file of its owner's, or a credential of systemd's."""

    plain: str | None = Field(default=None, repr=False)
    file: Path | None = None
    credential: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_of(cls, given: object) -> object:
        if isinstance(given, str):
            return {"plain": given}
        if not isinstance(given, dict) or len(given) != 1 or not {"file", "credential"} & set(given):
            raise ValueError('write the password, or { file = "PATH" }, or { credential = "NAME" }')
        return given

    def read(self) -> str:
        """The password; PrivateFileError if its file cannot be used."""
        if self.plain is not None:
            return self.plain
        path = self.file or private.credential(self.credential or "")
        return private.read(path).decode().strip()

    def at(self, base: Path) -> Secret:
        """The same, its file seen from the folder `base`."""
        return self if self.file is None else self.model_copy(update={"file": base / self.file})
