"""The record of Prefect's objects that an apply leaves in a machine's metadata. Pure.

With it, a plan knows what changed in the file since the last apply without waking the server and
without its login. It holds the entries of the file, and of a secret its fingerprint.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from roost.environment.prefect_objects import SECTIONS, PrefectObject
from roost.fly.models import Machine
from roost.plan.desired import ValueCheck
from roost.plan.document import canonical
from roost.plan.secret_fingerprints import same_value
from roost.secret_text import SecretText

Json = dict[str, Any]

OBJECTS_KEY = "roost_prefect_objects"
_LARGEST = 2**20
_DIGEST_DIGITS = 16


@dataclass(frozen=True)
class Written:
    """What Prefect made of an object that an apply wrote.

    Args:
        form: hash of the fields as Prefect returns them, if it writes them in another form than the
            file, such as a duration in seconds; empty if not.
        updated: of a block with secrets, the time of its last change. A later one means that somebody
            changed it, and perhaps a secret, which Prefect does not return.
        fingerprints: the fingerprint of each secret's value, by name.
    """

    form: str = ""
    updated: str = ""
    fingerprints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ObjectsRecord:
    """What the last apply left.

    Args:
        objects: the entries as they were applied.
        others: the keys of objects that were in an earlier file, or that an interrupted apply may have
            created.
        written: by key, what Prefect made of an entry, if there is anything to remember.
        unfinished: the keys of entries that an apply since then may have written: it failed in part.
    """

    objects: tuple[PrefectObject, ...] = ()
    others: tuple[str, ...] = ()
    written: Mapping[str, Written] = field(default_factory=dict)
    unfinished: tuple[str, ...] = ()

    @property
    def keys(self) -> frozenset[str]:
        """The keys of all objects that are Roost's."""
        return frozenset({*(entry.key for entry in self.objects), *self.others})

    def entry(self, key: str) -> PrefectObject | None:
        """Return an entry as it was applied; None if there is none."""
        return next((entry for entry in self.objects if entry.key == key), None)

    def unfinished_by(self, tried: Collection[str], begun: Collection[str]) -> ObjectsRecord:
        """Return the record after an apply that failed in part.

        Args:
            tried: the keys of the entries that it may have written, or has to write again.
            begun: the keys of objects that it made Roost's.
        """
        others = {*self.others, *begun} - {entry.key for entry in self.objects}
        return replace(
            self,
            others=tuple(sorted(others)),
            unfinished=tuple(sorted({*self.unfinished, *tried})),
        )

    def outdated(self) -> ObjectsRecord:
        """Return the record for other data, such as a backup's: only whose the objects are is known.

        The fingerprints stay, as a value that differs from the last one has to be reviewed there, too.
        """
        prints = {
            key: Written(fingerprints=found.fingerprints)
            for key, found in self.written.items()
            if found.fingerprints
        }
        return ObjectsRecord((), tuple(sorted(self.keys)), prints)

    def encoded(self) -> str:
        """Return it as the text that metadata holds."""
        fields = {
            "objects": [[entry.section, entry.body] for entry in self.objects],
            "others": sorted(self.others),
            "written": {key: asdict(found) for key, found in self.written.items()},
            "unfinished": sorted(self.unfinished),
        }
        return base64.b64encode(zlib.compress(canonical(fields).encode(), 9)).decode()


def decode(text: str) -> ObjectsRecord | None:
    """Return the record in a text of metadata; None if it has another form."""
    try:
        plain = zlib.decompressobj().decompress(base64.b64decode(text), _LARGEST)
        fields = json.loads(plain)
        record = ObjectsRecord(
            tuple(PrefectObject(str(section), dict(body)) for section, body in fields["objects"]),
            tuple(str(key) for key in fields["others"]),
            {str(key): _written(found) for key, found in fields["written"].items()},
            tuple(str(key) for key in fields.get("unfinished", ())),
        )
        _ = [SECTIONS[key.partition("/")[0]] for key in record.keys]  # each names a kind
        _ = [entry.secrets for entry in record.objects]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, zlib.error):
        return None
    return record


def _written(fields: Json) -> Written:
    prints = {str(name): str(found) for name, found in fields["fingerprints"].items()}
    return Written(str(fields["form"]), str(fields["updated"]), prints)


def record_on(machines: Iterable[Machine]) -> ObjectsRecord | None:
    """Return the record that an environment's machines carry; None if there is none."""
    texts = (machine.metadata.get(OBJECTS_KEY, "") for machine in machines)
    return next((found for text in texts if text and (found := decode(text))), None)


def base_records(machines: Iterable[Machine]) -> dict[str, str]:
    """Return a hash of each machine's record, by the machine's id: what a plan was made from."""
    texts = {machine.id: machine.metadata.get(OBJECTS_KEY, "") for machine in machines}
    return {key: digest(text) for key, text in texts.items() if text}


def outdated(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the entry of metadata for a machine that gets other data; empty if it has no record."""
    found = decode(metadata.get(OBJECTS_KEY, ""))
    return {OBJECTS_KEY: found.outdated().encoded()} if found else {}


def check_object_values(
    record: ObjectsRecord | None, values: Mapping[str, SecretText]
) -> ValueCheck:
    """Compare the available values with the fingerprints. This is slow, so it is done once."""
    prints = {
        (name, known)
        for found in (record.written.values() if record else ())
        for name, known in found.fingerprints.items()
        if name in values
    }
    found = {known: same_value(values[name], known) for name, known in sorted(prints)}
    return ValueCheck(
        changed=frozenset(known for known, same in found.items() if not same),
        same=frozenset(known for known, same in found.items() if same),
    )


def with_written(record: ObjectsRecord, key: str, written: Written) -> ObjectsRecord:
    """Return a record with what Prefect made of one object; nothing is kept if there is nothing."""
    kept = {name: found for name, found in record.written.items() if name != key}
    if written != Written():
        kept[key] = written
    return replace(record, written=kept)


def digest(value: Any) -> str:
    """Return a short hash of a value."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:_DIGEST_DIGITS]
