//! PE images: bytes to headers, sections, relocations, imports and exports.
