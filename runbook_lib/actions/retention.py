"""Old backups removed, and never one too many."""

from __future__ import annotations

from runbook_lib.checks import backups
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.step import Finding, Table, action


@action("Remove {env}'s backups beyond their retention")
def apply(env: Environment) -> Finding:
    """14.1.3: what both its metadata and its file say is older than ``backup.retention_days``.

    The newest stays in any case, and so does the newest one that is whole, and whatever does not say what it is.

    Raises
    ------
    Unanswerable
        The newest dump does not say what it is, or a file cannot be removed.
    """
    if backups.newest(env) is None:
        return backups.none_taken(env)
    found = backups.kept(env)
    old = backups.expired(found, backups.horizon(env), lambda each: backups.is_whole(env, each))
    for each in old:
        try:
            # The dump first: metadata without a dump is nothing, a dump without metadata is a riddle.
            each.path.unlink()
            backups.metadata_of(each.path).unlink(missing_ok=True)
        except OSError as error:
            raise Unanswerable(
                f"{each.path.name} could not be removed: {error.strerror}", remedy="see the folder's permissions"
            ) from error
    removed = {each.path for each in old}
    before = backups.inventory(found)
    rows = tuple(
        (*row, "removed" if each.path in removed else "kept") for each, row in zip(found, before.rows, strict=True)
    )
    return Finding(
        ok=True,
        observed={"removed": len(old), "kept": len(found) - len(old)},
        expected=f"those older than {env.backup.retention_days} days removed, but for the newest that is whole",
        tables=(Table((*before.columns, "now"), rows, before.title),),
    )
