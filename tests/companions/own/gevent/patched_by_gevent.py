"""A pytest plugin that lets gevent patch the standard library before anything else is loaded."""

from gevent import monkey

monkey.patch_all()
