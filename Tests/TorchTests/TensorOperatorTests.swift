import Foundation
import Testing
import Torch

/// What PyTorch made of the same tensors (Tests/Reference/tensor_fixtures.py).
@Suite struct TensorOperatorTests {
  private static let tensors = Result {
    try Safetensors.read(fixture("tensors/tensors.safetensors")).tensors
  }

  private let file: [String: Tensor]

  init() throws { file = try Self.tensors.get() }

  private func input(_ name: String) throws -> Tensor { try #require(file["input \(name)"]) }

  private func expect(_ results: [(String, Tensor)]) throws {
    for (name, result) in results {
      let expected = try #require(file[name], "\(name)")
      #expect(try result.dtype == expected.dtype && result.shape == expected.shape, "\(name)")
      let (a, b) = try (result.to(dtype: .float64), expected.to(dtype: .float64))
      #expect(try a.allClose(b, absoluteTolerance: 1e-6), "\(name): \(result)")
    }
  }

  @Test func arithmeticIsPyTorchs() throws {
    let (x, y, n) = try (input("x"), input("y"), input("n"))
    let (v, w) = try (input("v"), input("w"))
    try expect([
      ("add", x + y), ("scalars", 2 - 3 * x / 4 + 1 / (x * x + 1)), ("integers", n * 2 - 1),
      ("kinds", n + 1.5),
      ("halves", n / 2), ("remainder", n % 3), ("mixed", 1 - n), ("pow", y.abs().pow(0.3)),
      ("square", x.square()),
      ("reciprocal", x.reciprocal()), ("sign", x.sign()), ("floor", (x * 3).floor()),
      ("ceil", (x * 3).ceil()),
      ("trunc", (x * 3).trunc()), ("round", (x * 3).round()), ("log2", x.abs().log2()),
      ("log10", x.abs().log10()),
      ("log1p", x.abs().log1p()), ("tan", x.tan()), ("erf", x.erf()), ("lerp", x.lerp(y, 0.3)),
      ("outer", v.outer(w)), ("einsum", .einsum("bij,bkj->bik", x, y)),
    ])
    let half: Float = 0.5
    #expect(try (x * half + half * x).allClose(x))
  }

  @Test func reductionsArePyTorchs() throws {
    let (x, n) = try (input("x"), input("n"))
    try expect([
      ("std", x.std()), ("std1", x.std([1])), ("var", x.var([0, 2], correction: 0)), ("prod", x.prod()),
      ("prod1", x.prod(1)), ("max", x.max()), ("min", x.min()), ("min1", x.min(1).values),
      ("argmin", x.argmin(1)),
      ("median", x.median()), ("quantile", x.quantile(0.3, 2)), ("all", (x > -1).all(1)),
      ("cumprod", x.cumprod(2)), ("norm1", x.norm([2], p: 1)), ("argsort", x.argsort(2)),
      ("unique", n.unique().values), ("unique counts", n.unique().counts), ("mean", x.mean(-1)),
      ("sum", x.sum(0)),
    ])
  }

  @Test func comparisonsArePyTorchs() throws {
    let (x, y, n) = try (input("x"), input("y"), input("n"))
    try expect([
      ("less", x < y), ("equal", n == 1), ("unequal", n != n.flip([0])), ("at least", x >= 0.5),
      ("mask", (x > 0) & ~(y > 0) | (x < -1)), ("xor", (x > 0) ^ (y > 0)), ("isnan", x.log().isNaN()),
      ("isinf", x.floor().reciprocal().isInf()), ("isclose", x.isClose(x + 1e-6)),
      ("where", .where(x > 0, x, y)),
      ("where scalar", .where(x > 0, x, 7.0)),
    ])
    #expect(try x.allClose(x) && !x.allClose(y))
    #expect(try !(x * Double.nan).allClose(x * Double.nan))
  }

  @Test func creationAndShapesArePyTorchs() throws {
    let (x, y, n) = try (input("x"), input("y"), input("n"))
    let (v, w, picked) = try (input("v"), input("w"), input("picked"))
    try expect([
      ("eye", .eye(3)), ("linspace", .linspace(-1, 2, 7)), ("arange", .arange(0, 1, step: 0.3)),
      ("onehot", picked.oneHot(4)), ("flatten", x.flatten(1)),
      ("squeeze", x[..<1, .all, ..<1].squeeze()), ("roll", x.roll(1, 2)), ("repeat", w.repeat([2, 2])),
      ("diagonal", n.diagonal(offset: 1)), ("diag", v.diag()), ("split", n.split(2, dim: 1)[1]),
      ("chunk", n.chunk(3, dim: 1)[1]), ("stack", .stack([x, y], dim: 1)), ("gather", x.gather(1, picked)),
      ("scatter", x.scatter(1, picked, y)), ("scatter scalar", x.scatter(1, picked, 9)),
      ("scatter add", x.scatterAdd(1, picked, y)), ("nonzero", n.nonzero()),
    ])
    #expect(try Tensor.arange(5).array(of: Int.self) == [0, 1, 2, 3, 4])
    let draws = try Tensor.randint(2, 5, [200], generator: Generator(seed: 1))
    #expect(try draws.dtype == .int64 && draws.min().item() == 2 && draws.max().item() == 4)
    let order = try Tensor.randperm(9, generator: Generator(seed: 1)).array(of: Int.self)
    #expect(order != order.sorted() && order.sorted() == Array(0..<9))
  }

  @Test func layersArePyTorchs() throws {
    let (x, y, image) = try (input("x"), input("y"), input("image"))
    try expect([
      ("leaky", x.leakyRelu(0.2)), ("silu", x.silu()), ("softplus", x.softplus()),
      ("conv2d", image.conv2d(input("kernel"), bias: input("bias"), stride: 2, padding: 1, groups: 2)),
      ("max pool", image.maxPool2d(2)), ("avg pool", image.avgPool2d(3, stride: 1)),
      ("adaptive", image.adaptiveAvgPool2d(height: 2, width: 3)), ("group norm", image.groupNorm(2)),
      ("pad", x.pad([1, 2, 0, 1], value: 3)), ("normalize", x.normalize(2)),
      ("cosine", x.cosineSimilarity(y, dim: 2)), ("mse", x.mseLoss(y)), ("l1", x.l1Loss(y)),
      ("bce", x.binaryCrossEntropyWithLogits(y.sigmoid())),
    ])
  }

  @Test func subscriptsReadAsPythons() throws {
    let (x, n, w, image) = try (input("x"), input("n"), input("w"), input("image"))
    let (rows, columns) = try (Tensor([2, 0]), Tensor([1, 3]))
    try expect([
      ("integer", x[1]), ("negative", x[-1, -2]), ("range", x[0, 1..<3]), ("range", x[0, 1...2]),
      ("range", x[0, 1...]), ("from the end", x[.ellipsis, (-2)...]),
      ("from the end", x[.all, .all, -2 ... -1]),
      ("stride", x[.all, .slice(step: 2), .slice(from: 1, to: -1)]), ("column", n[.all, 2]),
      ("new axis", n[.all, .newAxis, 1...]), ("ellipsis", x[0, .ellipsis, 1]), ("mask read", x[x > 0]),
      ("rows", n[rows]),
      ("row mask", n[w > 0, 1...]), ("mask of two", x[x[.ellipsis, 0] > 0]),
      ("mask behind", image[0, Tensor.ones([4, 6], dtype: .bool), 2]), ("pairs", n[rows, columns]),
      ("behind a slice", x[.all, rows, 1]),
    ])
    let view = try Tensor.zeros([2, 3])
    try view[1].fill_(4)
    #expect(try view.array(of: Int.self) == [0, 0, 0, 4, 4, 4])
    for wrong in [{ try x[2] }, { try x[0, 0, 0, 0] }, { try n[Tensor([7])] }, { try x[.slice(step: 0)] }] {
      #expect(throws: TorchError.self) { try wrong() }
    }
  }

  @Test func indexPutWritesAsPythonsSubscripts() throws {
    let (x, n, v, w) = try (input("x"), input("n"), input("v"), input("w"))
    try expect([
      ("put scalar", x.clone().indexPut_(0, 1..<3, to: 5)), ("put row", x.clone().indexPut_(.all, 1, to: v)),
      ("put mask", x.clone().indexPut_(x > 0, to: 0)),
      ("put masked rows", n.clone().indexPut_(w > 0, 1..., to: -1)),
      ("put indices", n.clone().indexPut_(Tensor([2, 0]), to: .arange(4))),
      ("put stride", n.clone().indexPut_(.all, .slice(step: 2), to: 9)),
    ])
    #expect(throws: TorchError.self) { try x.clone().indexPut_(0, to: v.outer(w)) }
    #expect(throws: TorchError.self) { try x.clone().indexPut_(5, to: 1) }
  }

  @Test func scalarsKeepIntegersExact() throws {
    let n = try Tensor([Int.max - 1, 3])
    #expect(try n.clamp(min: 4).array(of: Int.self) == [.max - 1, 4])
    #expect(try n.clamp(min: 0, max: 5).dtype == .int64 && n.clamp(max: 2.5).dtype == .float32)
    #expect(try n.clone().sub_(1).add_(2).array(of: Int.self) == [.max, 4])
    #expect(try Tensor([6, 8]).mul_(3).array(of: Int.self) == [18, 24])
    #expect(try Tensor([6.0, 8]).div_(4).array(of: Float.self) == [1.5, 2])
    #expect(throws: TorchError.self) { try Tensor([6, 8]).div_(4) }
  }

  @Test func compoundAssignmentLeavesWhoSharesTheMemory() throws {
    let before = try Tensor([1, 2], dtype: .float32)
    var x = before
    try x += 1
    try x *= before
    try x -= 0.5
    try x /= 2
    #expect(try x.array(of: Float.self) == [0.75, 2.75])
    #expect(try before.array(of: Float.self) == [1, 2])
    try before.sub_(x, alpha: 2)
    #expect(try before.array(of: Float.self) == [-0.5, -3.5])
  }

  @Test func literalsHavePyTorchsTypesAndShapes() throws {
    #expect(try Tensor([1.0]).dtype == .float32)
    #expect(try Tensor([1, 2.5]).dtype == .float32)
    #expect(try Tensor([1, -2]).dtype == .int64)
    #expect(try Tensor([true, false]).dtype == .bool)
    #expect(try Tensor([]).dtype == .float32)
    #expect(try Tensor([1, 2], dtype: .float16).dtype == .float16)
    #expect(try Tensor(3.5).shape == [] && Tensor(Float(3.5)).shape == [])
    #expect(try Tensor([[[1, 2]], [[3, -4]]]).shape == [2, 1, 2])
    #expect(try Tensor([[1, 2], [3, -4]]).array(of: Int.self) == [1, 2, 3, -4])
    #expect(try Tensor([Int.max]).array(of: Int.self) == [.max])
    let rows: [[Float]] = [[1, 2], [3, 4]]
    #expect(try Tensor(rows).shape == [2, 2])
    // What is no literal keeps its type.
    let numbers = [0.1, 0.2]
    #expect(try Tensor(numbers).array(of: Double.self) == numbers)
    let error = #expect(throws: TorchError.self) { try Tensor([[1, 2], [3]]) }
    #expect(error?.description == "lists of one depth must be of one shape, got [2] and [1]")
    #expect(throws: TorchError.self) { try Tensor([[1], 2]) }
    #expect(throws: TorchError.self) { try Tensor([rows[0], []]) }
  }

  /// The four that are too long for the file.
  private static func long(_ name: String) throws -> Tensor? {
    switch name {
    case "many": try .arange(2000, dtype: .float32)
    case "matrix": try .arange(10000, dtype: .float32).reshape([100, 100])
    case "wide": try .arange(4000).reshape([2, 2000])
    case "deep": try .arange(2400, dtype: .float32).reshape([2, 3, 20, 20])
    default: nil
    }
  }

  @Test func elementsPrintAsPyTorchPrintsThem() throws {
    let texts = try JSONDecoder().decode(
      [String: String].self, from: Data(contentsOf: fixture("tensors/printed.json")))
    #expect(texts.count > 20)
    for (name, text) in texts {
      let tensor = try #require(try file["printed \(name)"] ?? Self.long(name), "\(name)")
      #expect("\(tensor)".hasPrefix("Tensor(\(text),"), "\(name): \(tensor)")
    }
    #expect(try "\(Tensor([true, false]))" == "Tensor([ true, false], bool [2])")
    #expect(try "\(Tensor([[1.0, 2.5]]).requiresGrad_())" == "Tensor([[1.0000, 2.5000]], float32 [1, 2])")
    #expect(try "\(Tensor.arange(18))".hasSuffix(",\n       int64 [18])"))
  }
}
