//! Streams that are broken or bent, from a seed.

use crate::support::*;

/// A header and what follows it up to the next.
type Piece = Vec<u8>;

/// A stream before its end mark, in pieces.
fn seeds() -> Vec<Vec<Piece>> {
    let plain = |name: &[u8]| raw_member(name, b'0', b"content", |_| {});
    let linked = |kind: u8, target: &'static [u8]| {
        raw_member(b"link", kind, b"", |header| {
            header[157..157 + target.len()].copy_from_slice(target)
        })
    };
    let gnu = |header: &mut [u8]| header[257..265].copy_from_slice(b"ustar  \0");
    let device = |kind: u8| {
        raw_member(b"dev", kind, b"", |header| {
            header[329..337].copy_from_slice(b"0000007\0");
            header[337..345].copy_from_slice(b"0000003\0");
        })
    };
    let long =
        |kind: u8, name: &[u8]| raw_member(b"././@LongLink", kind, &[name, b"\0"].concat(), gnu);
    // A stream in the content of a file: what comes to light where the sizes are taken otherwise.
    let hidden = [plain(b"hidden"), vec![0; 1024]].concat();
    let sparse = raw_member(b"sparse", b'S', &[7; 520], |header| {
        gnu(header);
        header[386..409].copy_from_slice(b"00000000000\x0000000001000");
        header[410..433].copy_from_slice(b"00000010000\x0000000000010");
        header[483..494].copy_from_slice(b"00000020000");
    });
    let lines = [
        ("GNU.sparse.major", &b"1"[..]),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"lines"),
        ("GNU.sparse.realsize", b"9000"),
    ];
    let mut map = b"1\n8000\n1000\n".to_vec();
    map.resize(512, 0);
    map.extend([7; 1000]);
    let base_256 = |header: &mut [u8]| {
        gnu(header);
        header[124..136].copy_from_slice(b"\x80\0\0\0\0\0\0\0\0\0\0\x07");
    };
    vec![
        vec![
            plain(b"a"),
            raw_member(b"d/", b'5', b"", |_| {}),
            plain(b"d/b"),
            linked(b'1', b"a"),
            linked(b'2', b"d/b"),
        ],
        vec![
            raw_member(b"name", b'0', b"x", |header| header[345..353].copy_from_slice(b"in/front")),
            plain(b"b"),
        ],
        vec![
            raw_pax(&[("path", b"a long name"), ("mtime", b"1.5"), ("uid", b"5")]),
            plain(b"short"),
            plain(b"b"),
        ],
        vec![raw_pax(&[("linkpath", b"a long way")]), linked(b'2', b"way"), plain(b"b")],
        vec![
            raw_pax(&[("size", b"2048")]),
            raw_member(b"f", b'0', &[&hidden[..], &[0; 512][..]].concat(), |_| {}),
            plain(b"b"),
        ],
        vec![raw_member(b"f", b'0', &hidden, |_| {}), plain(b"b")],
        vec![long(b'L', b"a long name"), raw_member(b"short", b'0', b"content", gnu), plain(b"b")],
        vec![
            long(b'K', b"a long way"),
            long(b'L', b"and a name"),
            linked(b'2', b"way"),
            plain(b"b"),
        ],
        vec![sparse, plain(b"b")],
        vec![
            raw_pax(&lines),
            raw_member(b"GNUSparseFile.1/lines", b'0', &map, |_| {}),
            plain(b"b"),
        ],
        vec![
            raw_pax(&[
                ("GNU.sparse.size", b"9000"),
                ("GNU.sparse.numblocks", b"1"),
                ("GNU.sparse.map", b"8000,1000"),
                ("GNU.sparse.name", b"listed"),
            ]),
            raw_member(b"GNUSparseFile.1/listed", b'0', &[7; 1000], |_| {}),
            plain(b"b"),
        ],
        vec![device(b'3'), device(b'4'), raw_member(b"fifo", b'6', b"", |_| {}), plain(b"b")],
        vec![
            raw_member(b"old", 0, b"content", |header| header[257..265].fill(0)),
            raw_member(b"dir/", 0, b"", |header| header[257..265].fill(0)),
            plain(b"b"),
        ],
        vec![raw_member(b"big", b'0', b"content", base_256), plain(b"b")],
        vec![raw_member(b"g", b'g', b"13 comment=x\n", |_| {}), plain(b"a"), plain(b"b")],
        vec![
            raw_pax(&[("SCHILY.xattr.user.a", b"1"), ("path", b"with it")]),
            plain(b"a"),
            plain(b"b"),
        ],
    ]
}

/// Numbers of a seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) % end as u64) as usize
    }

    fn of<'a>(&mut self, all: &[&'a [u8]]) -> &'a [u8] {
        all[self.below(all.len())]
    }

    fn byte(&mut self, all: &[u8]) -> u8 {
        all[self.below(all.len())]
    }
}

/// Bends one piece or the order of all of them; the checksums of headers are right afterwards, mostly.
fn mutate(pieces: &mut Vec<Piece>, random: &mut Random) {
    let at = random.below(pieces.len());
    match random.below(12) {
        0 => drop(pieces.remove(at)),
        1 => pieces.insert(at, pieces[at].clone()),
        2 => {
            let other = random.below(pieces.len());
            pieces.swap(at, other);
        }
        3 => pieces.insert(at, vec![0; 512]),
        // The fields of numbers: modes, owners, sizes, times, devices, and those of old sparse files.
        4 | 5 => {
            let (field, length) = [
                (100, 8),
                (108, 8),
                (116, 8),
                (124, 12),
                (124, 12),
                (124, 12),
                (136, 12),
                (329, 8),
                (337, 8),
                (386, 12),
                (398, 12),
                (483, 12),
            ][random.below(12)];
            let number = random.of(&[
                b"",
                b"0",
                b"1",
                b"7",
                b" 7",
                b"7 ",
                b" 7 ",
                b"-1",
                b"+7",
                b"00000000007",
                b"00000001000",
                b"0001000",
                b"77777777777",
                b"777777777777",
                b"7777777",
                b"8",
                b"0x7",
                b"7\x007",
                b"1\x001",
                b"\x80\0\0\0\0\0\0\x07",
                b"\x80\0\0\0\0\0\0\0\0\0\x02\0",
                b"\x80\0\0\0\0\0\0\0\0\0\0\x07",
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                b"\x80\0\0\x01\0\0\0\0\0\0\0\0",
                b"        ",
                b"       7",
            ]);
            let place = &mut pieces[at][field..field + length];
            let length = number.len().min(place.len());
            // The rest stays where it is longer, now and then.
            if random.below(3) > 0 {
                place.fill(0);
            }
            place[..length].copy_from_slice(&number[..length]);
        }
        6 => {
            pieces[at][156] = random.byte(b"\x00012345670123456SLKxgNDMVAX9");
        }
        7 => {
            let magic = random.of(&[
                b"ustar\x0000",
                b"ustar  \0",
                b"\0\0\0\0\0\0\0\0",
                b"ustar\x0001",
                b"ustar 00",
                b"ustar\0\0\0",
                b"USTAR\x0000",
            ]);
            pieces[at][257..265].copy_from_slice(magic);
        }
        8 => {
            let place = [0, 157, 345][random.below(3)];
            let name = random.of(&[
                b"",
                b"/",
                b".",
                b"..",
                b"./",
                b"a/",
                b"/a",
                b"a//b",
                b"n/./m",
                &[b'n'; 100],
            ]);
            pieces[at][place..place + 100].fill(0);
            pieces[at][place..place + name.len()].copy_from_slice(name);
        }
        // Content: PAX records and maps of holes are there, and hidden streams.
        9 | 10 if pieces[at].len() > 512 => {
            let place = 512 + random.below((pieces[at].len() - 512).min(90));
            pieces[at][place] = random.byte(b"0123456789\0\n =/,.-ab");
        }
        9 => pieces[at].extend([b'x'; 512]),
        10 => drop(pieces[at].split_off(512)),
        _ => pieces[at][random.below(512)] = random.below(128) as u8,
    }
}

fn with_checksum(piece: &mut Piece) {
    if piece.iter().all(|&byte| byte == 0) {
        return;
    }
    piece[148..156].fill(b' ');
    let sum: u32 = piece[..512].iter().map(|&byte| u32::from(byte)).sum();
    piece[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// The stream of a seed.
pub fn mutant(seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let seeds = seeds();
    let mut pieces = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(3) {
        mutate(&mut pieces, &mut random);
        if pieces.is_empty() {
            break;
        }
    }
    if random.below(20) > 0 {
        pieces.iter_mut().for_each(with_checksum);
    }
    let mut bytes = pieces.concat();
    match random.below(20) {
        0 => bytes.truncate(random.below(bytes.len().max(1))),
        1 => bytes.extend([0; 512]),
        _ => bytes.extend([0; 10_240]),
    }
    bytes
}
