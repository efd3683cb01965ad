//! What a destination definition is; the built-in ones; loader and validation.
