//! The model check of rule A.
