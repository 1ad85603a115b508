import Foundation
import MultiModalModel
import Testing

@testable import MultiModalServing

/// What clients ask for besides a picture, and the answers' shapes.
@Suite struct ChatOptionTests {
  @Test func anAnswerHasOpenAIsShape() async throws {
    let (status, json) = try await Served.emoji().chat(Served.body())
    #expect(status == 200)
    #expect(json.names == ["id", "object", "created", "model", "choices", "usage"])
    #expect(json["object"].text == "chat.completion")
    #expect(json["created"].number != nil)
    let choice = json["choices"][0]
    #expect(choice["message"] == ["role": "assistant", "content": "owl", "refusal": nil])
    #expect(choice["logprobs"] == .null && choice.names.contains("logprobs"))
    #expect(choice["finish_reason"].text == "stop")
    // 36 patches of the picture and the token that begins the text; two tokens and the one that ends it.
    #expect(json["usage"] == ["prompt_tokens": 37, "completion_tokens": 3, "total_tokens": 40])
  }

  @Test func aStreamsChunksTogetherAreTheAnswer() async throws {
    let served = try Served.emoji()
    let events = try await served.events(Served.body(["stream": true]))
    #expect(Set(events.map { $0["id"].text }).count == 1)
    for event in events {
      #expect(event["object"].text == "chat.completion.chunk")
      #expect(event["choices"].count == 1)
      #expect(event["choices"][0]["index"].number == 0)
      #expect(!event.names.contains("usage"))
    }
    #expect(events[0]["choices"][0]["delta"] == ["role": "assistant", "content": ""])
    #expect(events.compactMap { $0["choices"][0]["delta"]["content"].text }.joined() == "owl")
    #expect(events.dropLast().allSatisfy { $0["choices"][0]["finish_reason"] == .null })
    #expect(events.last?["choices"][0]["finish_reason"].text == "stop")
    #expect(events.last?["choices"][0]["delta"] == [:])
  }

  @Test func onlyTheLastChunkCountsTokensAndOnlyWhenAsked() async throws {
    let events = try await Served.emoji().events(
      Served.body(["stream": true, "stream_options": ["include_usage": true]]))
    #expect(events.last?["choices"] == [])
    #expect(events.last?["usage"]["total_tokens"].number == 40)
    for event in events.dropLast() {
      #expect(event["usage"] == .null && event.names.contains("usage"))
      #expect(event["choices"].count == 1)
    }
  }

  @Test(arguments: ["max_tokens", "max_completion_tokens"]) func theMostTokensEndAText(name: String)
    async throws
  {
    let served = try Served.emoji()
    let (_, json) = try await served.chat(Served.body([name: 1]))
    #expect(json["choices"][0]["message"]["content"].text == "ow")
    #expect(json["choices"][0]["finish_reason"].text == "length")
    // More than the model holds is no error: clients ask for thousands.
    #expect(try await served.answer(Served.body([name: 100_000])) == "owl")
    for wrong: JSONValue in [0, -1, "7", .double(1.5)] {
      let (status, json) = try await served.chat(Served.body([name: wrong]))
      #expect(status == 400)
      #expect(json["error"]["param"].text == name)
    }
  }

  @Test func whatIsHarmlessIsAccepted() async throws {
    let fields: [String: JSONValue] = [
      "temperature": 0, "top_p": 1, "stop": nil, "seed": 7, "n": 1, "user": "u", "metadata": ["a": "b"],
      "store": false,
      "tools": [], "tool_choice": "none", "parallel_tool_calls": true, "response_format": ["type": "text"],
      "presence_penalty": 0, "frequency_penalty": .double(0.5), "logit_bias": [:], "service_tier": "auto",
      "stream": false, "stream_options": nil, "top_k": 5, "chat_template_kwargs": ["x": [[1]]],
    ]
    #expect(try await Served.emoji().answer(Served.body(fields)) == "owl")
  }

  @Test(
    arguments: [
      ["tools": [["type": "function"]]], ["response_format": ["type": "json_object"]], ["temperature": 3],
      ["temperature": "hot"], ["top_p": -1], ["n": 0], ["n": 1000], ["stop": 3], ["stop": [1]],
      ["stream": "yes"],
      ["top_logprobs": 3], ["top_logprobs": 50, "logprobs": true], ["presence_penalty": 7],
      ["logit_bias": ["a": 1]], ["logit_bias": ["1": nil]], ["logit_bias": ["1": 101]], ["logit_bias": 3],
      ["seed": .double(1e300)], ["stop": .array(Array(repeating: "a", count: 17))],
      ["logit_bias": ["999999": 1]], ["seed": "a"], ["messages": nil], ["stream_options": 1], ["model": 1],
      ["n": 2, "temperature": 0],
    ] as [[String: JSONValue]])
  func whatWouldBeLostOrIsWrongIsA400(fields: [String: JSONValue]) async throws {
    let (status, json) = try await Served.emoji().chat(Served.body(fields))
    #expect(status == 400)
    #expect(json["error"].names == ["message", "type", "param", "code"])
  }

  @Test func aBodyThatIsNoJSONObjectIsA400() async throws {
    let served = try Served.emoji()
    let deep = String(repeating: "[", count: 100_000)
    let many = "[" + String(repeating: "1,", count: 100_000) + "1]"
    for body in ["", "{", "[]", "null", "{\"a\":1,\"a\":2}", "\u{0}", deep, many, "{\"a\": \"\\ud800\"}"] {
      let (status, json) = try await served.ask(
        ServingRequest(method: "POST", path: "/v1/chat/completions", body: Data(body.utf8)))
      #expect(status == 400)
      #expect(json["error"]["code"].text == "invalid_json")
    }
  }

  @Test func stopsEndATextBeforeThem() async throws {
    let served = try Served.emoji()
    for stop: JSONValue in ["burg", ["x", "burg", ""]] {
      let (_, json) = try await served.chat(Served.body(["stop": stop], url: Served.url(2)))
      #expect(json["choices"][0]["message"]["content"].text == "ham")
      #expect(json["choices"][0]["finish_reason"].text == "stop")
    }
  }

  @Test func severalTextsAreDrawnBySeed() async throws {
    let served = try Served.emoji()
    func texts(_ seed: Int) async throws -> [String?] {
      let json = try await served.chat(Served.body(["n": 3, "temperature": 2, "seed": .int(seed)])).json
      return (0..<3).map { json["choices"][$0]["message"]["content"].text }
    }
    let first = try await texts(1)
    #expect(try await texts(1) == first)
    #expect(try await texts(2) != first)
    let events = try await served.events(Served.body(["n": 3, "temperature": 2, "seed": 1, "stream": true]))
    for index in 0..<3 {
      let own = events.filter { $0["choices"][0]["index"].number == index }
      #expect(own.compactMap { $0["choices"][0]["delta"]["content"].text }.joined() == first[index])
      #expect(own.last?["choices"][0]["finish_reason"].text != nil)
    }
  }

  @Test func logProbabilitiesComeWithBytes() async throws {
    let served = try Served.emoji()
    let json = try await served.chat(Served.body(["logprobs": true, "top_logprobs": 2])).json
    let content = json["choices"][0]["logprobs"]["content"]
    #expect((0..<content.count).map { content[$0]["token"].text } == ["ow", "l"])
    #expect(content[0]["bytes"] == [111, 119])
    #expect(content[0]["top_logprobs"].count == 2)
    #expect(content[0]["top_logprobs"][0]["logprob"] == content[0]["logprob"])
    let events = try await served.events(Served.body(["logprobs": true, "stream": true]))
    #expect(
      events.flatMap { event in (0..<1).map { event["choices"][0]["logprobs"]["content"][$0]["token"].text } }
        .compactMap { $0 } == ["ow", "l"])
  }

  @Test func aModelThatIsNotServedIsA404AndAliasesAreKnown() async throws {
    let served = try Served.emoji { $0.aliases = ["gpt-4o"] }
    #expect(try await served.answer(Served.body(["model": "gpt-4o"])) == "owl")
    #expect(try await served.answer(Served.body(["model": nil])) == "owl")
    let (status, json) = try await served.chat(Served.body(["model": "gpt-5"]))
    #expect(status == 404)
    #expect(json["error"]["code"].text == "model_not_found")
  }

  @Test func aPromptThatIsTooLongIsA400AndOneCanBePassedOver() async throws {
    let long = String(repeating: "owl and cat ", count: 200)
    let url = JSONValue.string(try Served.url())
    let body = Served.body(messages: [
      ["role": "user", "content": [.string(long), ["type": "image_url", "image_url": url]]]
    ])
    #expect(try await Served.emoji().chat(body).status == 400)
    let endless = Served.body(messages: [
      [
        "role": "user",
        "content": [
          .string(String(repeating: "a", count: 2000)), ["type": "image_url", "image_url": url],
        ],
      ]
    ])
    let (status, json) = try await Served.emoji().chat(endless)
    #expect(status == 400 && json["error"]["code"].text == "prompt_too_long")
    #expect(try await Served.emoji { $0.usesPrompts = false }.answer(body) == "owl")
  }
}
