"""
User code as the engine treats it.

    raised             its exceptions as messages
    importing          its modules, imported as their files are now
    compiling          a user's function compiled for kernels that call it by address
    definition         a digest of a class or function and of everything that it refers to
    undeclared_state   state that it keeps where no snapshot would find it
"""
