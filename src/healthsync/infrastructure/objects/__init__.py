"""Objects: whole files by name, in a folder or in a bucket (S3, Azure, Google), and their sealing in chunks."""

from healthsync.infrastructure.objects.line_files import lines_at, lines_of
from healthsync.infrastructure.objects.sealed import SealedLines, open_lines
from healthsync.infrastructure.objects.stores import BucketObjects, FolderObjects, Objects, objects_at

__all__ = [
    "BucketObjects",
    "FolderObjects",
    "Objects",
    "SealedLines",
    "lines_at",
    "lines_of",
    "objects_at",
    "open_lines",
]
