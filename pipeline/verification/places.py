"""Workspace, cache and remote: is every file that should be there what its hash says?"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from dvc_objects.fs.base import FileSystem

from pipeline import machine
from pipeline.errors import UserError, first_line
from pipeline.progress import track
from pipeline.sharding import manifests
from pipeline.verification.hashing import LOCAL, Digest, Job, digest, in_threads, opened
from pipeline.verification.recorded import Output, Stores, files_here

MOST_REQUESTS = 16  # at once to a remote; more of them gain little, and each holds a block in memory
ABSENT = (FileNotFoundError, NotADirectoryError)

Inode = tuple[int, int, str] | None
Finding = dict[str, str]  # place, path, problem, detail; of stored objects also `object`, of samples `sample`


@dataclass
class Place:
    """Where files lie, and, after `rehash`, what was found there. Paths are below the project's root."""

    name: str  # workspace, cache, or remote NAME
    fs: FileSystem
    outputs: list[Output]  # that may be here
    at: Callable[[Output, str], str]  # (output, path) -> path in fs
    threads: int
    digests: dict[str, Digest] = field(default_factory=dict)  # path -> what lies there
    right: set[str] = field(default_factory=set)  # paths where that is what was recorded
    not_here: list[str] = field(default_factory=list)  # outputs of which there is nothing
    files: int = 0  # read and hashed
    size: int = 0  # bytes

    @property
    def stored(self) -> bool:
        """Return whether it keeps objects named by their hash."""
        return self.name != "workspace"

    def wanted(self, output: Output) -> dict[str, str]:
        """Return path -> recorded hash of what should be here of an output."""
        return output.objects if self.stored else output.files or {}

    def finding(self, output: Output, path: str, problem: str, detail: str, **more: str) -> Finding:
        """Return a finding about a file of an output: missing, altered, extra or unreadable."""
        of_object = {"object": self.at(output, path)} if self.stored and path in output.objects else {}
        return {"place": self.name, "path": path, "problem": problem, "detail": detail} | of_object | more

    def read(self, output: Output, path: str) -> bytes:
        """Return a file's bytes. Raises UserError when it cannot be read."""
        try:
            with opened(self.fs, self.at(output, path)) as file:
                return bytes(file.read())
        except Exception as error:  # whatever the library behind a remote raises
            raise UserError(f"{self.name}: {path} cannot be read: {first_line(error)}") from error


def workspace_of(root: Path, outputs: list[Output]) -> Place:
    """Return the workspace of the project at `root`."""
    return Place("workspace", LOCAL, outputs, lambda _, path: str(root / path), machine.workers())


def store_of(name: str, stores: Stores, outputs: list[Output]) -> Place:
    """Return a cache or remote."""

    def at(output: Output, path: str) -> str:
        return stores[output.hash_name].oid_to_path(output.objects[path])

    fs = stores["md5"].fs
    threads = machine.workers() if fs.protocol == LOCAL.protocol else min(fs.jobs, MOST_REQUESTS)
    return Place(name, fs, outputs, at, threads)


def rehash(place: Place, *, complete: bool, known: dict[Inode, Digest]) -> list[Finding]:
    """Read every file that should be in `place`, and note there what it holds. An object of many files is read once.

    `known` holds what was read on this machine already, and is added to: a workspace may be links into the cache.
    Unless the place is meant to be `complete`, an output of which there is nothing is noted as not here.
    """
    jobs: dict[str, Job] = {}
    with_manifest = {
        PurePosixPath(path).parent
        for output in place.outputs
        for path in output.files or ()
        if path.endswith(manifests.NAME)
    }
    for output in place.outputs:
        for path in place.wanted(output):
            at = place.at(output, path)
            in_manifest = not with_manifest.isdisjoint(PurePosixPath(path).parents)
            with_sha256 = in_manifest or (at in jobs and jobs[at][-1])
            jobs[at] = (place.fs, at, output.hash_name, with_sha256)
    inodes = {at: _inode(job) for at, job in jobs.items()}
    results: dict[str, Digest | Exception] = {
        at: seen for at, inode in inodes.items() if (seen := known.get(inode)) and (seen.sha256 or not jobs[at][-1])
    }
    unread = [job for at, job in jobs.items() if at not in results]
    for job, result in track(in_threads(place.threads), digest, unread, f"verify {place.name}", "file"):
        results[job[1]] = result
        if isinstance(result, Digest) and inodes[job[1]]:
            known[inodes[job[1]]] = result
    read = [result for result in results.values() if isinstance(result, Digest)]
    place.files, place.size = len(read), sum(result.size for result in read)
    if complete and results and all(isinstance(result, ABSENT) for result in results.values()):
        what = f"none of {len(results)} objects is there: nothing was pushed to it, or its URL is another"
        return [{"place": place.name, "path": ".", "problem": "missing", "detail": what}]

    users = Counter(at for output in place.outputs for at in {place.at(output, path) for path in place.wanted(output)})
    findings = []
    for output in place.outputs:
        found = {path: results[place.at(output, path)] for path in place.wanted(output)}
        # What another output has too says nothing about whether this one was ever fetched; nor does a listing.
        own = [path for path in found if users[place.at(output, path)] == 1 and path in (output.files or {})]
        # What is not cached lies in Git, which always has it.
        not_here = (
            not complete
            and output.cached
            and bool(found)
            and all(isinstance(found[path], ABSENT) for path in own or found)
        )
        if not_here:
            place.not_here.append(output.path)
        for path, result in found.items():
            if not_here and isinstance(result, ABSENT):
                continue
            if isinstance(result, Digest):
                place.digests[path] = result
            if problem := _problem(result, place.wanted(output)[path]):
                findings.append(place.finding(output, path, *problem))
            else:
                place.right.add(path)
    return findings


def missing_in_one(workspace: Place, cache: Place) -> list[Finding]:
    """Return outputs of which one of the two has nothing, but the other has: they were here. Neither: never pulled."""
    findings = []
    for place, other in ((workspace, cache), (cache, workspace)):
        was_here = [output for output in place.outputs if output.path in place.not_here and output in other.outputs]
        lost = [output for output in was_here if output.path not in other.not_here]
        for output in lost:
            what = f"nothing of it is there, but the {other.name} has it; `dvc checkout` or `dvc commit` puts it back"
            findings.append(place.finding(output, output.path, "missing", what))
        place.not_here = [path for path in place.not_here if path not in {output.path for output in lost}]
    return findings


def _inode(job: Job) -> Inode:
    """Return what tells a file of this machine from every other, and how it is hashed; None where it is elsewhere."""
    fs, path, hash_name, _ = job
    if fs.protocol == LOCAL.protocol:
        with suppress(OSError):
            state = Path(path).stat()
            return state.st_dev, state.st_ino, hash_name
    return None


def _problem(result: Digest | Exception, recorded: str) -> tuple[str, str] | None:
    if isinstance(result, ABSENT):
        return "missing", "there is no such file"
    if isinstance(result, Exception):
        return "unreadable", first_line(result)
    if result.md5 != recorded.removesuffix(".dir"):
        return "altered", f"MD5 {result.md5}, recorded {recorded}"
    return None


def look_for_more(place: Place, root: Path) -> list[Finding]:
    """Compare the folders of the workspace with their listings: files not recorded, listings that nobody has."""
    findings = []
    for output in place.outputs:
        if output.is_folder and (root / output.path).is_file():
            place.not_here = [path for path in place.not_here if path != output.path]
            findings.append(place.finding(output, output.path, "altered", "a file, where a folder was recorded"))
        elif output.files is not None:
            more = sorted(files_here(output, root) - set(output.files)) if output.is_folder else []
            findings += [place.finding(output, path, "extra", "no such file was recorded") for path in more]
        elif (root / output.path).exists():
            what = "not all its files are as recorded; which, cannot be told: no unharmed listing of it was found"
            findings.append(place.finding(output, output.path, "altered", what))
        else:
            place.not_here.append(output.path)
    return findings
