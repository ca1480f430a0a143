//! Examples of free space: the choice of a block, errors, and the ends of the address space.

use address::{AllocateError, FreeSpace, Prefix, ReleaseError, Strategy};

fn prefix(text: &str) -> Prefix {
    text.parse().expect(text)
}

/// Creates a pool with these blocks allocated.
fn pool(block: &str, taken: &[&str]) -> FreeSpace {
    let mut pool = FreeSpace::new(prefix(block));
    for taken in taken {
        pool.allocate(prefix(taken)).expect(taken);
    }
    pool
}

fn found(pool: &FreeSpace, length: u8, strategy: Strategy) -> String {
    pool.find_free(length, strategy).map_or("none".to_owned(), |block| block.to_string())
}

/// Formats allocated, total, free, percent and largest free block.
fn capacity(pool: &FreeSpace) -> String {
    let largest = pool.largest_free().map_or("nothing".to_owned(), |length| format!("/{length}"));
    format!(
        "{} of {} taken, {} free, {}%, largest {largest}",
        pool.allocated(),
        pool.total(),
        pool.free(),
        pool.utilization_percent()
    )
}

#[test]
fn first_fit_and_best_fit_choose_expected_blocks() {
    // Free: 10.0.0.64/26 (64..127), 10.0.0.144/28 (144..159), 10.0.0.176/28, 10.0.0.192/26.
    let pool = pool("10.0.0.0/24", &["10.0.0.0/26", "10.0.0.128/28", "10.0.0.160/28"]);
    for (length, first_fit, best_fit) in [
        (23, "none", "none"),
        (24, "none", "none"),
        (25, "none", "none"),
        (26, "10.0.0.64/26", "10.0.0.64/26"),
        (27, "10.0.0.64/27", "10.0.0.64/27"),
        (28, "10.0.0.64/28", "10.0.0.144/28"),
        (32, "10.0.0.64/32", "10.0.0.144/32"),
        (33, "none", "none"),
        (255, "none", "none"),
    ] {
        assert_eq!(found(&pool, length, Strategy::FirstFit), first_fit, "/{length}");
        assert_eq!(found(&pool, length, Strategy::BestFit), best_fit, "/{length}");
    }
}

#[test]
fn first_fit_returns_lowest_address_for_any_length() {
    // The lowest free block is small; the next one above it is larger.
    let pool = pool("10.0.0.0/24", &["10.0.0.0/32", "10.0.0.2/31"]);
    assert_eq!(found(&pool, 32, Strategy::FirstFit), "10.0.0.1/32");
    assert_eq!(found(&pool, 31, Strategy::FirstFit), "10.0.0.4/31");
    assert_eq!(found(&pool, 25, Strategy::FirstFit), "10.0.0.128/25");
}

#[test]
fn released_buddies_are_merged() {
    let mut pool = pool("10.0.0.0/24", &["10.0.0.0/25", "10.0.0.128/26", "10.0.0.192/26"]);
    assert_eq!(capacity(&pool), "256 of 256 taken, 0 free, 100%, largest nothing");
    pool.release(prefix("10.0.0.128/26")).unwrap();
    assert_eq!(capacity(&pool), "192 of 256 taken, 64 free, 75%, largest /26");
    pool.release(prefix("10.0.0.192/26")).unwrap();
    assert_eq!(capacity(&pool), "128 of 256 taken, 128 free, 50%, largest /25");
    pool.release(prefix("10.0.0.0/25")).unwrap();
    assert_eq!(capacity(&pool), "0 of 256 taken, 256 free, 0%, largest /24");
    assert_eq!(found(&pool, 24, Strategy::BestFit), "10.0.0.0/24");
}

#[test]
fn parts_can_be_released_as_a_whole_and_a_block_in_parts() {
    let mut pool = pool("10.0.0.0/24", &["10.0.0.0/26", "10.0.0.64/26", "10.0.0.128/25"]);
    pool.release(prefix("10.0.0.0/25")).unwrap();
    assert_eq!(capacity(&pool), "128 of 256 taken, 128 free, 50%, largest /25");
    pool.release(prefix("10.0.0.200/32")).unwrap();
    assert_eq!(capacity(&pool), "127 of 256 taken, 129 free, 49%, largest /25");
}

#[test]
fn failed_allocate_and_release_change_nothing() {
    let mut pool = pool("10.0.0.0/24", &["10.0.0.0/26"]);
    let before = capacity(&pool);
    for (block, expected) in [
        ("10.0.1.0/26", AllocateError::Outside),
        ("10.0.0.0/23", AllocateError::Outside),
        ("a00::/24", AllocateError::Outside),
        ("10.0.0.0/24", AllocateError::NotFree),
        ("10.0.0.0/25", AllocateError::NotFree),
        ("10.0.0.0/26", AllocateError::NotFree),
        ("10.0.0.63/32", AllocateError::NotFree),
    ] {
        assert_eq!(pool.allocate(prefix(block)), Err(expected), "take {block}");
    }
    for (block, expected) in [
        ("10.0.1.0/26", ReleaseError::Outside),
        ("10.0.0.0/23", ReleaseError::Outside),
        ("a00::/24", ReleaseError::Outside),
        ("10.0.0.0/24", ReleaseError::NotAllocated),
        ("10.0.0.0/25", ReleaseError::NotAllocated),
        ("10.0.0.64/26", ReleaseError::NotAllocated),
        ("10.0.0.64/32", ReleaseError::NotAllocated),
    ] {
        assert_eq!(pool.release(prefix(block)), Err(expected), "release {block}");
    }
    assert_eq!(capacity(&pool), before);
    assert_eq!(found(&pool, 26, Strategy::FirstFit), "10.0.0.64/26");
}

#[test]
fn is_free_requires_block_inside_pool_and_entirely_free() {
    let pool = pool("10.0.0.0/24", &["10.0.0.0/26"]);
    for (block, expected) in [
        ("10.0.0.64/26", true),
        ("10.0.0.128/25", true),
        ("10.0.0.255/32", true),
        ("10.0.0.0/25", false),
        ("10.0.0.63/32", false),
        ("10.0.0.0/24", false),
        ("10.0.1.0/26", false),
        ("10.0.0.0/23", false),
        ("::/128", false),
    ] {
        assert_eq!(pool.is_free(prefix(block)), expected, "{block}");
    }
}

/// Allocates and releases the whole pool, and its first and last address.
fn check_ends(block: &str, single: u8, ends: [&str; 2], sizes: [&str; 3]) {
    let [total, all_but_one, all_but_two] = sizes;
    let whole = prefix(block);
    let mut pool = FreeSpace::new(whole);
    assert_eq!(found(&pool, whole.length(), Strategy::FirstFit), block);
    assert_eq!(pool.allocate(whole), Ok(()));
    assert_eq!(capacity(&pool), format!("{total} of {total} taken, 0 free, 100%, largest nothing"));
    assert_eq!(found(&pool, single, Strategy::BestFit), "none");
    assert_eq!(pool.release(whole), Ok(()));
    let [first, last] = ends.map(prefix);
    assert_eq!(pool.allocate(last), Ok(()));
    assert_eq!(pool.free().to_string(), all_but_one);
    assert_eq!(found(&pool, single, Strategy::FirstFit), ends[0]);
    assert_eq!(pool.allocate(first), Ok(()));
    assert_eq!(pool.free().to_string(), all_but_two);
    assert_eq!(pool.allocated().to_string(), "2");
    assert_eq!(pool.release(first), Ok(()));
    assert_eq!(pool.release(last), Ok(()));
    assert_eq!(pool.largest_free(), Some(whole.length()));
    assert_eq!(pool.free().to_string(), total);
}

#[test]
fn pool_of_all_ipv4_can_be_allocated_and_released() {
    let ends = ["0.0.0.0/32", "255.255.255.255/32"];
    check_ends("0.0.0.0/0", 32, ends, ["4294967296", "4294967295", "4294967294"]);
}

#[test]
fn pool_of_all_ipv6_can_be_allocated_and_released() {
    let ends = ["::/128", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"];
    let sizes = [
        "340282366920938463463374607431768211456",
        "340282366920938463463374607431768211455",
        "340282366920938463463374607431768211454",
    ];
    check_ends("::/0", 128, ends, sizes);
}

#[test]
fn pools_of_two_addresses_can_be_allocated_and_released() {
    check_ends("192.0.2.2/31", 32, ["192.0.2.2/32", "192.0.2.3/32"], ["2", "1", "0"]);
    check_ends("::2/127", 128, ["::2/128", "::3/128"], ["2", "1", "0"]);
    let last = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128";
    let last_but_one = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/128";
    let both = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127";
    check_ends(both, 128, [last_but_one, last], ["2", "1", "0"]);
}

#[test]
fn pools_of_one_address_can_be_allocated_and_released() {
    for block in ["255.255.255.255/32", "0.0.0.0/32", "::/128", "::1/128"] {
        let mut pool = FreeSpace::new(prefix(block));
        let length = prefix(block).length();
        assert_eq!(capacity(&pool), format!("0 of 1 taken, 1 free, 0%, largest /{length}"));
        assert_eq!(found(&pool, length - 1, Strategy::FirstFit), "none");
        assert_eq!(found(&pool, length, Strategy::BestFit), block);
        pool.allocate(prefix(block)).unwrap();
        assert_eq!(capacity(&pool), "1 of 1 taken, 0 free, 100%, largest nothing");
        assert_eq!(pool.allocate(prefix(block)), Err(AllocateError::NotFree));
        pool.release(prefix(block)).unwrap();
        assert_eq!(pool.release(prefix(block)), Err(ReleaseError::NotAllocated));
    }
}

#[test]
fn allocate_and_release_errors_have_messages() {
    assert_eq!(AllocateError::Outside.to_string(), "the block is not inside the pool");
    assert_eq!(AllocateError::NotFree.to_string(), "the block is not entirely free");
    assert_eq!(ReleaseError::Outside.to_string(), "the block is not inside the pool");
    assert_eq!(ReleaseError::NotAllocated.to_string(), "the block is not entirely taken");
}
