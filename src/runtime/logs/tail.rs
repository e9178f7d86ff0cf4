//! Where the last lines of a log begin.

use super::format::parse;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Read at a time, from the end.
const BLOCK_BYTES: usize = 16 * 1024;
/// Enough for a line's front: time, stream and tag.
const FRONT_BYTES: usize = 96;

/// Where the last `wanted` lines of `file` begin, and how many of them it has. A line that was written in parts is one.
pub fn tail_start(file: &File, wanted: u64) -> io::Result<(u64, u64)> {
    let size = file.metadata()?.len();
    if wanted == 0 || size == 0 {
        return Ok((size, 0));
    }
    let mut found = 0;
    // A part's beginning that is a line's if what stands before it was whole.
    let mut candidate: Option<u64> = None;
    let mut end = size;
    let mut block = vec![0; BLOCK_BYTES];
    while end > 0 {
        let start = end.saturating_sub(BLOCK_BYTES as u64);
        let length = (end - start) as usize;
        file.read_exact_at(&mut block[..length], start)?;
        for at in (0..length).rev() {
            if block[at] != b'\n' {
                continue;
            }
            let begin = start + at as u64 + 1;
            if let Some(begun) = candidate
                && is_whole(file, begin, begun)?
            {
                found += 1;
                if found == wanted {
                    return Ok((begun, found));
                }
            }
            // The file's last newline begins nothing.
            candidate = (begin < size).then_some(begin);
        }
        end = start;
    }
    if let Some(begun) = candidate
        && is_whole(file, 0, begun)?
    {
        found += 1;
        if found == wanted {
            return Ok((begun, found));
        }
    }
    Ok((0, found + 1))
}

/// Whether the part that begins at `begin` is the last of its line.
fn is_whole(file: &File, begin: u64, end: u64) -> io::Result<bool> {
    let mut front = [0; FRONT_BYTES];
    let length = usize::try_from(end - begin)
        .unwrap_or(FRONT_BYTES)
        .min(FRONT_BYTES);
    file.read_exact_at(&mut front[..length], begin)?;
    // What is no line of ours ends where it ends.
    Ok(parse(&front[..length]).is_none_or(|line| !line.partial))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;

    #[test]
    fn parts_count_as_one_line() {
        let lines = [
            "2016-10-06T00:17:09.669794202Z stdout F one\n",
            "2016-10-06T00:17:09.669794202Z stdout P two, \n",
            "2016-10-06T00:17:09.669794202Z stdout P and more, \n",
            "2016-10-06T00:17:09.669794202Z stdout F done\n",
            "2016-10-06T00:17:09.669794202Z stdout F three\n",
            "2016-10-06T00:17:09.669794202Z stdout P four, not whole\n",
        ];
        let mut file = tempfile::tempfile().unwrap();
        let mut begins = vec![0];
        for line in lines {
            file.write_all(line.as_bytes()).unwrap();
            begins.push(begins[begins.len() - 1] + line.len() as u64);
        }
        for (wanted, begin, found) in [
            (0, begins[6], 0),
            (1, begins[5], 1),
            (2, begins[4], 2),
            (3, begins[1], 3),
            (4, 0, 4),
            (9, 0, 4),
        ] {
            assert_eq!(
                tail_start(&file, wanted).unwrap(),
                (begin, found),
                "{wanted}"
            );
        }
    }
}
