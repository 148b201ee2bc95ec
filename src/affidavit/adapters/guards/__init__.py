"""Guards of others behind the guard port, each a module that needs its extra only when it is made."""
