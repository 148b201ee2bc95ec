"""The group ``audit`` with all its commands, wherever they are written."""

from affidavit.entrypoints import keep as keep
from affidavit.entrypoints import proofs as proofs
from affidavit.entrypoints import witness as witness
from affidavit.entrypoints.manage import audit as audit
