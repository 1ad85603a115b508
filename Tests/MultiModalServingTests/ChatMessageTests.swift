import Foundation
import MultiModalModel
import Testing

@testable import MultiModalServing

/// What clients send as messages: the shapes that real ones are known to use.
@Suite struct ChatMessageTests {
  @Test func aPictureIsFoundInEveryShapeThatClientsSend() async throws {
    let served = try Served.emoji()
    let url = JSONValue.string(try Served.url())
    let contents: [JSONValue] = [
      [["type": "image_url", "image_url": ["url": url, "detail": "high"]]],
      [["type": "image_url", "image_url": url]],
      [["type": "input_image", "image_url": url, "detail": "auto"]],
      [["image_url": ["url": url], "uuid": "1"]],
      ["", ["type": "image_url", "image_url": ["url": url]]],
      [["type": "image_url", "image_url": ["url": url]], ["type": "text", "text": ""]],
      [["type": "input_text", "text": nil], ["type": "image_url", "image_url": ["url": url]]],
    ]
    for content in contents {
      #expect(
        try await served.answer(Served.body(messages: [["role": "user", "content": content, "name": "x"]]))
          == "owl")
    }
  }

  @Test func textsAreJoinedAndOnlyTheLastUserMessageSpeaks() throws {
    let messages = try ChatMessages(
      JSONFields(
        body: Served.body(messages: [
          ["role": "system", "content": "You are kind."], ["role": "user", "content": "before"],
          ["role": "assistant", "content": nil],
          ["role": "user", "content": ["one", ["type": "text", "text": "two"], ["text": "three"]]],
        ]).data))
    #expect(messages.text == "one\ntwo\nthree")
    #expect(messages.picture == nil)
  }

  @Test func picturesOfEarlierTurnsArePassedOver() async throws {
    let served = try Served.emoji()
    func turn(_ picture: Int) throws -> JSONValue {
      [
        "role": "user",
        "content": [["type": "image_url", "image_url": ["url": .string(try Served.url(picture))]]],
      ]
    }
    let answer: JSONValue = ["role": "assistant", "content": "hamburger"]
    #expect(
      try await served.answer(Served.body(messages: [turn(2), answer, turn(1)])) == "owl")
    // A later question without a picture is about the one before it.
    let question: JSONValue = ["role": "user", "content": ""]
    #expect(
      try await served.answer(Served.body(messages: [turn(2), answer, turn(1), answer, question])) == "owl")
    // Two in one message are not.
    let url = JSONValue.string(try Served.url())
    let two: JSONValue = [
      [
        "role": "user",
        "content": [["type": "image_url", "image_url": url], ["type": "image_url", "image_url": url]],
      ]
    ]
    let (status, json) = try await served.chat(Served.body(messages: two))
    #expect(status == 400)
    #expect(json["error"]["code"].text == "too_many_images")
  }

  @Test func aRequestWithoutAPictureIsAnsweredAtOnce() async throws {
    let body = Served.body(messages: [["role": "user", "content": "Suggest a title for this chat"]])
    let (status, json) = try await Served.emoji().chat(body)
    #expect(status == 400)
    #expect(json["error"]["code"].text == "image_required")
    let forgiving = try Served.emoji { $0.textOnlyAnswer = "Pictures only" }
    #expect(try await forgiving.answer(body) == "Pictures only")
    guard case .object(var fields) = body else { return }
    // What is wrong is said all the same.
    fields["temperature"] = 99
    let (wrong, error) = try await forgiving.chat(.object(fields))
    #expect(wrong == 400 && error["error"]["param"].text == "temperature")
    fields["temperature"] = nil
    fields["stream"] = true
    let events = try await forgiving.events(.object(fields))
    #expect(events.compactMap { $0["choices"][0]["delta"]["content"].text } == ["", "Pictures only"])
    #expect(events.last?["choices"][0]["finish_reason"].text == "stop")
  }

  @Test(arguments: [
    #"[{"role": "user", "content": [{"type": "file", "file": {"file_id": "1"}}]}]"#,
    #"[{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]"#,
    #"[{"role": "user", "content": [{"type": "image_url"}]}]"#,
    #"[{"role": "user", "content": [{"type": "input_image", "file_id": "1"}]}]"#,
    #"[{"role": "user", "content": 3}]"#, #"[{"role": "user", "content": [3]}]"#, #"["hello"]"#, "[]", "{}",
    #"[{"role": 1, "content": ""}]"#, #"[{"role": "assistant", "content": ""}]"#,
    #"[{"role": "user", "content": [{"type": "image_url", "image_url": "file:///etc/passwd"}]}]"#,
    #"[{"role": "user", "content": [{"type": "image_url", "image_url": "http://127.0.0.1/a.jpg"}]}]"#,
    #"[{"role": "user", "content": [{"type": "image_url", "image_url": "data:image/png,abc"}]}]"#,
    #"[{"role": "user", "content": [{"type": "image_url", "image_url": "data:image/png;base64,????"}]}]"#,
    #"[{"role": "user", "content": [{"type": "image_url", "image_url": "data:image/png;base64,"}]}]"#,
    #"[{"role": "user", "content": [{"type": "image_url", "image_url": "data:image/svg+xml;base64,PHN2Zz4="}]}]"#,
  ])
  func whatIsNoMessageOfThisModelIsA400InOpenAIsShape(messages: String) async throws {
    let value = try JSONDecoder().decode(JSONValue.self, from: Data(messages.utf8))
    let (status, json) = try await Served.emoji().chat(Served.body(messages: value))
    #expect(status == 400)
    #expect(json["error"].names == ["message", "type", "param", "code"])
    #expect(json["error"]["type"].text == "invalid_request_error")
    #expect(json["error"]["message"].text?.isEmpty == false)
  }

  @Test(arguments: [#"{"image_url": "LONG"}"#, #"{"image_url": "data:LONG"}"#, #"{"type": "LONG"}"#])
  func aCharacterThatFillsABodyIsNotSaidBack(part: String) async throws {
    let long = "e" + String(repeating: "\u{301}", count: 1_000_000)
    let value = try JSONDecoder().decode(
      JSONValue.self, from: Data(part.replacingOccurrences(of: "LONG", with: long).utf8))
    let (status, json) = try await Served.emoji().chat(
      Served.body(messages: [["role": "user", "content": [value]]]))
    #expect(status == 400)
    #expect(json["error"]["message"].text.map { $0.utf8.count < 500 } == true)
  }

  @Test(arguments: ["", "iVBORw0KGgo=", "/9j/4AAQSkZJRg=="])
  func base64WithoutItsURLIsToldHowToBeOne(url: String) async throws {
    for fetches in [false, true] {
      let served = try Served.emoji { if fetches { $0.fetchPicture = { _ in Data() } } }
      let answer = try await served.answer(
        Served.body(messages: [
          ["role": "user", "content": [["type": "image_url", "image_url": .string(url)]]]
        ]))
      #expect(answer?.contains("is no data: URL with base64") == true)
    }
  }

  @Test(arguments: ["PHN2Zz4=", "Qk0AAAAA"])
  func aPictureOfAnotherKindIsToldWhichAreTaken(base64: String) async throws {
    let answer = try await Served.emoji().answer(
      Served.body(messages: [
        [
          "role": "user",
          "content": [["type": "image_url", "image_url": .string("data:image/png;base64,\(base64)")]],
        ]
      ]))
    #expect(answer?.contains("supported are JPEG, PNG") == true)
  }

  @Test func aPicturesKindIsToldByItsBytesAndBase64IsReadForgivingly() throws {
    let bytes = Data((0...255).map { UInt8($0) } + [0xFB, 0xFF, 0xFE])
    let base64 = bytes.base64EncodedString()
    let urlSafe = base64.replacingOccurrences(of: "+", with: "-").replacingOccurrences(of: "/", with: "_")
    let lines = stride(from: 0, to: base64.count, by: 76).map { base64.dropFirst($0).prefix(76) }.joined(
      separator: "\r\n ")
    let escaped = try #require(base64.addingPercentEncoding(withAllowedCharacters: .alphanumerics))
    let unpadded = base64.filter { $0 != "=" }
    for url in [
      "data:image/png;base64,\(base64)", "DATA:image/png;BASE64,\(base64)", "data:;base64,\(lines)",
      "data:image/jpeg;name=a.jpg;charset=utf-8; base64,\(urlSafe)", "data:;base64,\(escaped)",
      "data:image/webp;base64,\(unpadded)",
    ] {
      #expect(DataURL.isOne(url))
      #expect(DataURL.bytes(url) == bytes)
    }
    for url in [
      "data:image/png;base64,ab*d", "data:image/png,abcd",
      "data:" + String(repeating: "a;", count: 10_000) + "base64,abcd", "data:", "data:;base64,=AAA",
      "data:;base64,A",
    ] {
      #expect(DataURL.bytes(url) == nil)
    }
  }
}
