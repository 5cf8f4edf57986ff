//! What the writer writes the reader reads, piece by piece.

use sapwood::files::Time;

use crate::options::ArchiveEnd;

use super::{Member, MemberKind, Segment, TarReader, TarWriter};

fn members() -> Vec<Member> {
    let long = |length: usize| vec![b'n'; length];
    let mut file = Member::new("file", MemberKind::File, 0o7644);
    file.modified = Time { seconds: -2, nanoseconds: 999_999_999 };
    file.owner = (1 << 21) + 5;
    file.group = u32::MAX - 1;
    file.size = 700;
    file.attributes = vec![(b"user.a".to_vec(), b"x\n7 y=z\n\0".to_vec())];
    let mut late = Member::new(long(101), MemberKind::Symlink(long(101)), 0o777);
    late.modified = Time { seconds: 1 << 33, nanoseconds: 10 };
    vec![
        Member::new("./", MemberKind::Directory, 0o755),
        file,
        late,
        Member::new(long(100), MemberKind::HardLink(long(100)), 0),
        Member::new(b"not\xffutf8".repeat(30), MemberKind::Fifo, 0o600),
        Member::new("c", MemberKind::CharDevice(5, 300), 0o600),
        Member::new("b", MemberKind::BlockDevice(4095, (1 << 20) - 1), 0o600),
        Member::new("empty", MemberKind::File, 0),
    ]
}

#[test]
fn members_come_back_as_they_were() {
    let mut writer = TarWriter::new(Vec::new());
    for member in members() {
        writer.begin(&member).unwrap();
        writer.write(&vec![7; member.size as usize]).unwrap();
    }
    let bytes = writer.finish().unwrap();
    assert_eq!(bytes.len() % 512, 0);
    let mut reader = TarReader::new(&bytes[..]);
    for member in members() {
        assert_eq!(reader.next_member().unwrap(), Some(member.clone()));
        let mut content: Vec<u8> = Vec::new();
        let mut buffer = [0; 300];
        while let Some(chunk) = reader.next_chunk(&mut buffer).unwrap() {
            assert_eq!(chunk.offset, content.len() as u64);
            content.extend(&buffer[..chunk.length]);
        }
        assert_eq!(content, vec![7; member.size as usize]);
    }
    assert_eq!(reader.next_member().unwrap(), None);
    assert_eq!(reader.position(), bytes.len() as u64);
}

#[test]
fn content_that_nobody_reads_is_passed_over() {
    let mut writer = TarWriter::new(Vec::new());
    for member in members() {
        writer.begin(&member).unwrap();
        writer.write(&vec![7; member.size as usize]).unwrap();
    }
    let bytes = writer.finish().unwrap();
    let mut reader = TarReader::new(&bytes[..]);
    let mut names = Vec::new();
    while let Some(member) = reader.next_member().unwrap() {
        names.push(member.name);
    }
    assert_eq!(names, members().into_iter().map(|member| member.name).collect::<Vec<_>>());
}

#[test]
fn holes_come_back_as_holes() {
    let segments =
        [Segment { offset: 4096, length: 512 }, Segment { offset: 1 << 40, length: 100 }];
    let mut member = Member::new("sparse", MemberKind::File, 0o644);
    member.size = 1 << 41;
    let mut writer = TarWriter::new(Vec::new());
    writer.begin_sparse(&member, &segments).unwrap();
    writer.write(&[1; 612]).unwrap();
    let bytes = writer.finish().unwrap();
    let mut reader = TarReader::new(&bytes[..]);
    assert_eq!(reader.next_member().unwrap(), Some(member));
    let mut found = Vec::new();
    let mut buffer = [0; 1000];
    while let Some(chunk) = reader.next_chunk(&mut buffer).unwrap() {
        assert!(buffer[..chunk.length].iter().all(|&byte| byte == 1));
        found.push(Segment { offset: chunk.offset, length: chunk.length as u64 });
    }
    assert_eq!(found, segments);
    assert_eq!(reader.next_member().unwrap(), None);
}

#[test]
fn an_archive_that_is_cut_off_anywhere_is_refused() {
    let mut writer = TarWriter::new(Vec::new());
    for member in members() {
        writer.begin(&member).unwrap();
        writer.write(&vec![7; member.size as usize]).unwrap();
    }
    let bytes = writer.finish().unwrap();
    // A single record of zeros is an end, as some writers leave it.
    let whole = bytes.len() - 1024;
    for length in (0..=whole).step_by(7).chain([whole, whole + 511]) {
        let mut reader = TarReader::new(&bytes[..length]);
        let error = loop {
            match reader.next_member() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{length} bytes of {} are an archive", bytes.len()),
                Err(error) => break error,
            }
        };
        assert_eq!(error.field(), Some("stream"), "{length}: {error}");
    }
    let mut reader = TarReader::new(&bytes[..whole + 512]);
    while reader.next_member().unwrap().is_some() {}
}

/// Where a digest says that the stream is whole it may end behind any member, and nowhere else.
#[test]
fn an_archive_without_an_end_mark_ends_behind_a_member() {
    let mut writer = TarWriter::new(Vec::new());
    for member in members() {
        writer.begin(&member).unwrap();
        writer.write(&vec![7; member.size as usize]).unwrap();
    }
    let bytes = writer.finish().unwrap();
    let whole = bytes.len() - 1024;
    let ends_at = |length: usize| {
        let mut reader = TarReader::new(&bytes[..length]).with_end(ArchiveEnd::Anywhere);
        loop {
            match reader.next_member() {
                Ok(Some(_)) => {}
                ended => return ended.is_ok(),
            }
        }
    };
    let taken: Vec<usize> = (0..=whole).filter(|&length| ends_at(length)).collect();
    let (first, last) = (taken[0], taken[taken.len() - 1]);
    assert_eq!((first, last, taken.len()), (0, whole, members().len() + 1));
    assert!(ends_at(bytes.len()));
}

#[test]
fn a_writer_holds_its_caller_to_what_was_announced() {
    let mut member = Member::new("a", MemberKind::File, 0);
    member.size = 3;
    let mut writer = TarWriter::new(Vec::new());
    writer.begin(&member).unwrap();
    assert_eq!(writer.write(b"four").unwrap_err().field(), Some("content"));
    writer.write(b"tw").unwrap();
    assert_eq!(writer.finish().unwrap_err().field(), Some("content"));
    let mut writer = TarWriter::new(Vec::new());
    assert!(writer.begin(&Member::new("s", MemberKind::Socket, 0)).is_err());
}
