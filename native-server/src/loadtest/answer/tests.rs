use super::*;

/// Feeds `bytes` in pieces of `size`; gives the answer and whether it was whole at the end.
fn read(bytes: &[u8], size: usize) -> Result<(Incoming, bool), Malformed> {
    let (mut answer, mut kept, mut whole) = (Incoming::new(), Vec::new(), false);
    for piece in bytes.chunks(size) {
        assert!(!whole, "more after the end");
        whole = answer.feed(piece, &mut kept)?;
    }
    // A head of no body is whole with its last piece.
    Ok((answer, whole || bytes.is_empty()))
}

#[test]
fn answers_are_read_alike_in_pieces_of_every_size() {
    let answers: [(&str, u16, u64, bool, bool); 9] = [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            200,
            5,
            true,
            true,
        ),
        ("HTTP/1.1 204 No\r\n\r\n", 204, 0, true, true),
        (
            "HTTP/1.1 304 No\r\ncontent-length: 9\r\n\r\n",
            304,
            0,
            true,
            true,
        ),
        (
            "HTTP/1.1 500 E\r\ncontent-length: 0\r\nConnection: Close\r\n\r\n",
            500,
            0,
            false,
            true,
        ),
        (
            "HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx",
            200,
            1,
            false,
            true,
        ),
        ("HTTP/1.1 200 OK\r\n\r\nabc", 200, 3, false, false),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\na: b\r\n\r\nHTTP/1.1 201 C\r\ncontent-length: 2\r\n\r\nok",
            201,
            2,
            true,
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=\"y\"\r\n0123456789\r\n0\r\n\r\n",
            200,
            15,
            true,
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nTrailer: a\r\nB: c\r\n\r\n",
            200,
            1,
            true,
            true,
        ),
    ];
    for (text, status, body, keep_alive, whole) in answers {
        for size in 1..=text.len() {
            let (answer, ended) = read(text.as_bytes(), size).unwrap();
            let found = (answer.status, answer.body_bytes, answer.keep_alive, ended);
            assert_eq!(
                found,
                (status, body, keep_alive, whole),
                "{text:?} by {size}"
            );
            assert!(answer.closed());
        }
    }
}

#[test]
fn what_is_no_answer_is_told() {
    let cases: [(&str, Malformed); 9] = [
        ("220 mail ready\r\n\r\n", Malformed::Head),
        ("HTTP/1.1 101 Up\r\n\r\n", Malformed::Head),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            Malformed::Length,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            Malformed::Length,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
            Malformed::Length,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxy",
            Malformed::Surplus,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nz\r\n",
            Malformed::Chunk,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nxy\r\n",
            Malformed::Chunk,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
            Malformed::Chunk,
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(
            read(text.as_bytes(), text.len()).err(),
            Some(expected),
            "{text:?}"
        );
    }
    let endless = format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(HEAD_BYTES));
    assert_eq!(
        read(endless.as_bytes(), 4096).err(),
        Some(Malformed::HeadTooLong)
    );
}

#[test]
fn only_redirects_have_a_location() {
    let text = "HTTP/1.1 302 F\r\nLocation: /x\r\ncontent-length: 0\r\n\r\n";
    let (answer, _) = read(text.as_bytes(), 7).unwrap();
    assert_eq!(answer.location.as_deref(), Some("/x"));
    let text = "HTTP/1.1 201 C\r\nLocation: /x\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(read(text.as_bytes(), 7).unwrap().0.location, None);
}
