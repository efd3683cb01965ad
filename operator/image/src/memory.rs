//! Copying memory. What the C library of the image does copies byte by byte until it is aligned: a row has dozens of values of a few bytes,
//! each copied a dozen times on its way, and a fifth of a run went there.
#![allow(unsafe_code, reason = "these are the C library's functions of these names")]

use std::arch::asm;
use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_storeu_si128};

/// From this many bytes on, the processor's own copying is as fast as any.
const LONG: usize = 2048;

/// The C library's `memcpy`.
///
/// # Safety
/// As of the C library's: both places have `n` bytes and do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: the same is demanded.
    unsafe { forward(to, from, n) };
    to
}

/// The C library's `memmove`.
///
/// # Safety
/// As of the C library's: both places have `n` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: both have `n` bytes, and each way is taken where it may be.
    unsafe {
        if n <= 64 || to.addr().wrapping_sub(from.addr()) >= n {
            forward(to, from, n);
        } else {
            backward(to, from, n);
        }
    }
    to
}

/// Copies from the front to the end: the places may overlap if `to` is below `from`, or if there are at most 64 bytes.
#[inline(always)]
unsafe fn forward(to: *mut u8, from: *const u8, n: usize) {
    // SAFETY: every access lies within the first `n` bytes: the last piece of a kind is counted from the end. Whatever a store could
    // overwrite was loaded before.
    unsafe {
        match n {
            0 => {}
            1 => *to = *from,
            2..=3 => ends::<u16>(to, from, n),
            4..=7 => ends::<u32>(to, from, n),
            8..=15 => ends::<u64>(to, from, n),
            16..=32 => {
                let (head, tail) = (load(from), load(from.add(n - 16)));
                store(to, head);
                store(to.add(n - 16), tail);
            }
            33..=64 => {
                let head = (load(from), load(from.add(16)));
                let tail = (load(from.add(n - 32)), load(from.add(n - 16)));
                store(to, head.0);
                store(to.add(16), head.1);
                store(to.add(n - 32), tail.0);
                store(to.add(n - 16), tail.1);
            }
            65..LONG => {
                let tail = block(from.add(n - 64));
                let mut at = 0;
                while at < n - 64 {
                    put(to.add(at), block(from.add(at)));
                    at += 64;
                }
                put(to.add(n - 64), tail);
            }
            _ => asm!(
                "rep movsb",
                inout("rcx") n => _,
                inout("rdi") to => _,
                inout("rsi") from => _,
                options(nostack, preserves_flags)
            ),
        }
    }
}

/// Copies more than 64 bytes from the end to the front.
unsafe fn backward(to: *mut u8, from: *const u8, n: usize) {
    // SAFETY: every access lies within the first `n` bytes, and the front was loaded before anything is stored.
    unsafe {
        let head = block(from);
        let mut end = n;
        while end > 64 {
            put(to.add(end - 64), block(from.add(end - 64)));
            end -= 64;
        }
        put(to, head);
    }
}

/// The first and the last bytes of a few.
#[inline(always)]
unsafe fn ends<T>(to: *mut u8, from: *const u8, n: usize) {
    let last = n - size_of::<T>();
    // SAFETY: `n` is at least the size of `T`.
    unsafe {
        let (head, tail) = (from.cast::<T>().read_unaligned(), from.add(last).cast::<T>().read_unaligned());
        to.cast::<T>().write_unaligned(head);
        to.add(last).cast::<T>().write_unaligned(tail);
    }
}

#[inline(always)]
unsafe fn load(from: *const u8) -> __m128i {
    // SAFETY: the caller has 16 bytes there.
    unsafe { _mm_loadu_si128(from.cast()) }
}

#[inline(always)]
unsafe fn store(to: *mut u8, piece: __m128i) {
    // SAFETY: the caller has 16 bytes there.
    unsafe { _mm_storeu_si128(to.cast(), piece) }
}

#[inline(always)]
unsafe fn block(from: *const u8) -> [__m128i; 4] {
    // SAFETY: the caller has 64 bytes there.
    unsafe { [load(from), load(from.add(16)), load(from.add(32)), load(from.add(48))] }
}

#[inline(always)]
unsafe fn put(to: *mut u8, [a, b, c, d]: [__m128i; 4]) {
    // SAFETY: the caller has 64 bytes there.
    unsafe {
        store(to, a);
        store(to.add(16), b);
        store(to.add(32), c);
        store(to.add(48), d);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(n: usize) -> Vec<u8> {
        (0..n).map(|at| (at * 7 + at / 251) as u8).collect()
    }

    const SIZES: [usize; 8] = [255, 256, 1000, LONG - 1, LONG, LONG + 1, 5000, 70_000];

    #[test]
    fn every_number_of_bytes_is_copied_and_no_other() {
        for n in (0..200).chain(SIZES) {
            for offset in [0, 1, 3, 8, 15] {
                let from = numbered(n + offset);
                let mut to = vec![0xEE; n + 2 * offset + 16];
                let end = offset + n;
                // SAFETY: `from` has `n` bytes behind the offset, `to` more than that.
                unsafe { memcpy(to.as_mut_ptr().add(offset), from.as_ptr().add(offset), n) };
                assert_eq!(to[offset..end], from[offset..], "{n} bytes at {offset}");
                assert!(to[..offset].iter().chain(&to[end..]).all(|byte| *byte == 0xEE), "{n} bytes at {offset}");
            }
        }
    }

    #[test]
    fn bytes_are_moved_over_themselves_either_way() {
        for n in (0..200).chain(SIZES) {
            for by in [0, 1, 2, 15, 16, 17, 63, 64, 65, 130] {
                for (from, to) in [(0, by), (by, 0)] {
                    let mut bytes = numbered(n + by);
                    let mut wanted = bytes.clone();
                    wanted.splice(to..to + n, bytes[from..from + n].to_vec());
                    let start = bytes.as_mut_ptr();
                    // SAFETY: both ranges are in `bytes`.
                    unsafe { memmove(start.add(to), start.add(from), n) };
                    assert_eq!(bytes, wanted, "{n} bytes from {from} to {to}");
                }
            }
        }
    }
}
