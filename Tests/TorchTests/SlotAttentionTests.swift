import Testing

@testable import Torch

@Suite(.everyInstructionSet) struct SlotAttentionTests {
  private static let slotAttention = Operator("gpt4mm::slot_attention")

  private struct Row {
    let slot, first, count, held: Int
  }

  /// Rows of unequal lengths, not in the order of their slots; some with one token and some with many.
  private static let rows: [Row] = [
    Row(slot: 2, first: 0, count: 1, held: 5), Row(slot: 0, first: 1, count: 71, held: 0),
    Row(slot: 3, first: 72, count: 1, held: 88), Row(slot: 1, first: 73, count: 6, held: 15),
  ]
  private static let tokens = 79

  private func randn(_ shape: [Int], _ seed: UInt64) throws -> Tensor {
    try .randn(shape, generator: Generator(seed: seed))
  }

  private func table(_ rows: [Row]) throws -> Tensor {
    try Tensor(rows.flatMap { [$0.slot, $0.first, $0.count, $0.held] }, shape: [rows.count, 4])
  }

  /// One row as the formula says it, [count, heads · width].
  private func plain(_ row: Row, queries: Tensor, keys: Tensor, values: Tensor, slopes: Tensor?, grows: Bool)
    throws -> Tensor
  {
    // [heads, count, keys]
    var scores = try queries.matmul(keys.transpose(1, 2)) / Double(queries.shape[2]).squareRoot()
    let length = keys.shape[1]
    let places = try Tensor.arange(length).unsqueeze(0)
    let own = try Tensor.arange(row.held, row.held + row.count).unsqueeze(1)
    if let slopes {
      scores = try scores - (places - own).abs().unsqueeze(0) * slopes.reshape([-1, 1, 1])
    }
    if grows {
      let later = try Tensor.ones([row.count, length], dtype: .bool).triu(diagonal: row.held + 1)
      scores = try scores.maskedFill(later, -.infinity)
    }
    return try scores.softmax().matmul(values).transpose(0, 1).reshape([row.count, -1])
  }

  @Test(arguments: [true, false], [32, 64])
  func everyRowAttendsToItsOwnSlot(grows: Bool, width: Int) throws {
    for hasSlopes in [true, false] {
      try checkRows(grows: grows, width: width, hasSlopes: hasSlopes)
    }
  }

  private func checkRows(grows: Bool, width: Int, hasSlopes: Bool) throws {
    let (heads, parts) = (3, grows ? 3 : 1)
    // Queries alone need keys to look at.
    let rows = Self.rows.map {
      Row(slot: $0.slot, first: $0.first, count: $0.count, held: grows ? $0.held : max($0.held, 3))
    }
    let projected = try randn([Self.tokens, parts * heads * width], 1)
    let (keys, values) = (try randn([4, heads, 96, width], 2), try randn([4, heads, 96, width], 3))
    let (keysBefore, valuesBefore) = (try keys.clone(), try values.clone())
    let slopes = hasSlopes ? try Tensor([0.5, 0.25, 0] as [Float]) : nil
    let none = [Tensor?](repeating: nil, count: parts)
    let result = try Self.slotAttention(
      .tensor(projected), .int(0), .optionalTensors(none), .optionalTensors(none), .tensor(keys),
      .tensor(values), .tensor(table(rows)), .optional(slopes), .double(1 / Double(width).squareRoot()))
    for row in rows {
      let own = try projected.narrow(0, start: row.first, length: row.count)
        .reshape([row.count, parts, heads, width]).permute([1, 2, 0, 3]).unbind(0)
      func all(_ buffer: Tensor, _ part: Int) throws -> Tensor {
        let held = try buffer.select(0, row.slot).narrow(1, start: 0, length: row.held)
        return grows ? try Tensor.cat([held, own[part]], dim: 1) : held
      }
      let (k, v) = (try all(keysBefore, 1), try all(valuesBefore, 2))
      let expected = try plain(row, queries: own[0], keys: k, values: v, slopes: slopes, grows: grows)
      let found = try result.narrow(0, start: row.first, length: row.count)
      #expect(try (found - expected).abs().amax().item(Float.self) < 2e-5, "slot \(row.slot)")
      for (buffer, seen) in [(keys, k), (values, v)] {
        let slot = try buffer.select(0, row.slot).narrow(1, start: 0, length: seen.shape[1])
        #expect(try (slot - seen).abs().amax().item(Float.self) == 0)
      }
    }
  }

  @Test func aRowWithoutAPlaceIsRefused() throws {
    let projected = try randn([2, 3 * 64], 1)
    let none = [Tensor?](repeating: nil, count: 3)
    let wrong = [[4, 0, 1, 0], [-1, 0, 1, 0], [0, 1, 2, 0], [0, 0, 0, 0], [0, 0, 1, 8], [0, 0, 1, -1]]
    for row in wrong {
      #expect(throws: TorchError.self) {
        try Self.slotAttention(
          .tensor(projected), .int(0), .optionalTensors(none), .optionalTensors(none),
          .tensor(.zeros([4, 1, 8, 64])), .tensor(.zeros([4, 1, 8, 64])),
          .tensor(Tensor(row, shape: [1, 4])),
          .none, .double(1))
      }
    }
  }
}
