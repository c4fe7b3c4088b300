//! The order and the marks of a process tree.
//!
//! The guest chooses the numbers: parents that do not exist, cycles and any depth must give each row once, in bounded time and text.

use std::collections::HashMap;

/// Levels that are drawn; what lies deeper stands at the last of them.
const DRAWN_LEVELS: usize = 32;

/// A row's place in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Index of the row in what was given.
    pub index: usize,
    /// What stands in front of its command, as ps(1) draws it.
    pub prefix: String,
}

/// Orders rows, given as numbers of process and parent, so that children follow their parents; siblings keep their order.
pub fn order(rows: &[(i32, i32)]) -> Vec<Node> {
    let mut by_pid = HashMap::with_capacity(rows.len());
    for (index, (pid, _)) in rows.iter().enumerate() {
        by_pid.entry(*pid).or_insert(index);
    }
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); rows.len()];
    let mut roots = Vec::new();
    for (index, (_, parent)) in rows.iter().enumerate() {
        match by_pid.get(parent) {
            Some(parent) if *parent != index => children[*parent].push(index),
            _ => roots.push(index),
        }
    }
    let mut nodes = Vec::with_capacity(rows.len());
    let mut is_placed = vec![false; rows.len()];
    // Each row is a start too: those of a cycle are below no root.
    for start in roots.into_iter().chain(0..rows.len()) {
        let mut waiting = vec![(start, String::new(), String::new())];
        while let Some((index, prefix, indent)) = waiting.pop() {
            if std::mem::replace(&mut is_placed[index], true) {
                continue;
            }
            nodes.push(Node { index, prefix });
            for (place, child) in children[index].iter().rev().enumerate() {
                let is_drawn = indent.len() < DRAWN_LEVELS * 4;
                let (mark, below) = match (is_drawn, place) {
                    (false, _) => ("", ""),
                    (true, 0) => (" \\_ ", "    "),
                    (true, _) => (" \\_ ", " |  "),
                };
                waiting.push((*child, format!("{indent}{mark}"), format!("{indent}{below}")));
            }
        }
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(rows: &[(i32, i32)]) -> Vec<(i32, String)> {
        order(rows).into_iter().map(|node| (rows[node.index].0, node.prefix)).collect()
    }

    #[test]
    fn children_follow_their_parents_and_keep_their_order() {
        let expected = [(1, ""), (5, " \\_ "), (6, " |   \\_ "), (3, " \\_ "), (2, "")];
        let tree = drawn(&[(1, 0), (2, 0), (6, 5), (5, 1), (3, 1)]);
        assert_eq!(tree.iter().map(|(pid, prefix)| (*pid, prefix.as_str())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn cycles_and_strangers_give_each_row_once() {
        let rows = [(1, 1), (2, 3), (3, 2), (4, 99), (4, 4), (i32::MIN, 4)];
        let mut seen: Vec<usize> = order(&rows).iter().map(|node| node.index).collect();
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
        assert!(order(&[]).is_empty());
    }

    #[test]
    fn a_chain_of_any_depth_is_drawn_in_bounded_text() {
        let rows: Vec<(i32, i32)> = (1..20_000).map(|pid| (pid, pid - 1)).collect();
        let tree = order(&rows);
        assert_eq!(tree.len(), rows.len());
        assert!(tree.iter().all(|node| node.prefix.len() <= DRAWN_LEVELS * 4));
    }
}
