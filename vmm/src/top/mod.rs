//! `procvisor top`: what runs in one or all VMs, live.
//!
//! | module | what |
//! |---|---|
//! | `sample` | what one look at a VM gives, and the reading of it over 9P |
//! | `source` | a thread for each VM, which is asked and answers when it can |
//! | `model` | the VMs, and what follows from two samples of each |
//! | `view` | what of it is looked at: sort, filter, tree, selection; and the keys that change that |
//! | `text` | the cells of a VM's and a process's line |
//! | `screen` | all of it on a terminal |
//!
//! Model, view and text know no VM and no terminal. Nobody waits for a VM but its own thread, so one that does not answer costs its own row
//! only. All text of a guest is made printable where it comes in (`sample`), so no later step can let a control character through.

pub mod model;
pub mod sample;
pub mod screen;
pub mod source;
pub mod text;
pub mod view;
