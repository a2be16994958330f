//! Rule A, row by row.
