//! Taking and freeing pages of page files, against a plain set.

use super::*;
use std::collections::BTreeSet;

fn one_file(initial: u64, maximum: u64) -> PageFiles {
    let mut files = PageFiles::default();
    files.add(initial, maximum, SoftwarePteFormat::Wide1803).expect("a good size");
    files
}

#[test]
fn runs_are_taken_one_behind_the_other_and_page_0_never() {
    let mut files = one_file(256, 256);
    let first = files.take(64).expect("room");
    assert_eq!((first.first.page, first.count), (1, 64));
    assert_eq!(files.take(64).expect("room").first.page, 65);
    assert_eq!(files.take(200).expect("room").count, 128, "what is left");
    assert_eq!(files.take(1), None);
}

/// SPEC J14.
#[test]
fn a_file_that_grew_has_more_pages() {
    let mut files = one_file(1, 100);
    assert_eq!(files.take(8).expect("room").count, 1);
    assert_eq!(files.take(8), None);
    files.grow(99);
    assert_eq!(files.take(200).expect("room").count, 99);
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let mut files = PageFiles::default();
    let format = SoftwarePteFormat::X86;
    assert_eq!(files.add(0, 0, format), Err(PageFileError::TooSmall));
    assert_eq!(files.add(9, 8, format), Err(PageFileError::TooSmall));
    let limit = (1 << 20) - 1;
    let pages = limit + 1;
    assert_eq!(files.add(9, pages, format), Err(PageFileError::TooLarge { pages, limit }));
    for number in 0..MAX_PAGE_FILES {
        assert_eq!(files.add(2, limit, format), Ok(number as u8));
    }
    assert_eq!(files.add(2, 2, format), Err(PageFileError::TooMany));
}

/// A page is given out once until it is freed, whatever the order, and a bad one never again.
#[test]
fn random_takes_and_frees_agree_with_a_set() {
    let mut files = one_file(700, 700);
    files.add(130, 130, SoftwarePteFormat::Wide1803).expect("a good size");
    let mut held: BTreeSet<(u8, u32)> = BTreeSet::new();
    let (mut bad, mut state) = (BTreeSet::new(), 7_u64);
    for step in 0..20_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let choice = (state >> 33) as usize;
        if !choice.is_multiple_of(3) && !held.is_empty() {
            let (file, page) = *held.iter().nth(choice % held.len()).expect("one of them");
            held.remove(&(file, page));
            if step % 500 == 0 {
                files.spoil(Slot { file, page });
                bad.insert((file, page));
            } else {
                files.free(Slot { file, page });
            }
        } else if let Some(run) = files.take(choice as u32 % 40 + 1) {
            for page in run.first.page..run.first.page + run.count {
                assert!(held.insert((run.first.file, page)), "page {page} was given out already");
                assert!(page > 0 && !bad.contains(&(run.first.file, page)));
            }
        }
        let free = 700 + 130 - held.len() - bad.len();
        assert_eq!(files.free_pages(), free as u64);
        assert_eq!(free == 0, files.clone().take(1).is_none());
    }
}
