//! The decision log: what was received, decided, computed, refused and sent, as a chain in which a changed line shows.
