"""Failures of a call to a service, as the client sees them."""

from __future__ import annotations


class ServiceError(Exception):
    """The service refused, or could not be reached. `status` is 0 when there was no answer; `slug` names the
    problem."""

    def __init__(self, slug: str, status: int, detail: str) -> None:
        super().__init__(detail)
        self.slug, self.status, self.detail = slug, status, detail
