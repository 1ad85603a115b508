/// A named tensor of a model: trainable, or a buffer that is saved and loaded with it.
public final class Parameter {
  /// The path by which its layer was built, such as `decoder.to_logits.weight`.
  public let name: String
  /// False for a buffer.
  public let isTrainable: Bool
  /// What it is to its layer.
  public let role: Role
  /// Also once it was packed.
  public let shape: [Int]
  /// Empty once the parameter was packed for inference.
  public private(set) var value: Tensor
  /// What a quantised file holds of it, until it is packed.
  private(set) var quantizedValue: QuantizedWeight?
  /// Whether it is a linear layer's weight, [outputs, inputs].
  var isLinearWeight = false
  /// What is learned beside it, where it is a linear layer's weight.
  public internal(set) var adapter: LowRankAdapter?
  /// Whether a layer prepared for inference holds it in a form of its own.
  public private(set) var isReleased = false

  /// What a parameter is to its layer.
  public enum Role: Sendable {
    /// Multiplied with what comes in: alone in being decayed by optimizers.
    case weight
    /// Added or multiplied element by element: biases, and what a norm scales by.
    case vector
    /// Vectors of tokens.
    case embedding
    /// Vectors of positions.
    case position
    /// Not trained.
    case buffer
  }

  init(name: String, value: Tensor, role: Role) {
    self.name = name
    self.value = value
    self.role = role
    isTrainable = role != .buffer
    shape = value.shape
  }

  /// The number of elements.
  public var count: Int { shape.reduce(1, *) }

  /// Puts another tensor of the same shape in place, such as one read from a file.
  public func replace(with tensor: Tensor) throws {
    try checkUnprepared()
    guard tensor.shape == shape else {
      throw TorchError("\(name) has shape \(shape), but the tensor given has \(tensor.shape)")
    }
    let requiresGrad = value.requiresGrad
    value = tensor
    quantizedValue = nil
    if requiresGrad { try tensor.requiresGrad_() }
  }

  /// Puts a quantised weight in place, which a layer packs next.
  func replace(with quantized: QuantizedWeight) throws {
    quantizedValue = quantized
    value = try Tensor(uninitialized: [0])
  }

  /// - Throws: `TorchError` once a layer prepared for inference holds the elements in a form of its own.
  func checkUnprepared() throws {
    guard !isReleased else {
      throw TorchError(
        "the model was prepared for inference, which packs its weights: save or train it before, or load it again"
      )
    }
  }

  /// Lets go of the elements, which a packed layer holds now.
  func release() {
    isReleased = true
    quantizedValue = nil
    if let empty = try? Tensor(uninitialized: [0], device: value.device) { value = empty }
  }

  /// [outputs, inputs]
  func dense() throws -> Tensor { try quantizedValue?.dequantized() ?? value }

  /// - Throws: `TorchError` for a weight that holds NaN or infinity.
  func quantized(_ scheme: QuantizedWeight.Scheme) throws -> QuantizedWeight {
    let stored = quantizedValue?.scheme == scheme ? quantizedValue : nil
    let weight = try stored ?? QuantizedWeight(dense(), scheme)
    // A row's scale is NaN or infinite where one of its numbers is.
    guard try [weight.scales, weight.zeros].allSatisfy({ try $0?.holdsFiniteNumbers() ?? true }) else {
      throw TorchError.notFinite([self])
    }
    return weight
  }
}

extension TorchError {
  static func notFinite(_ parameters: [Parameter]) -> TorchError {
    TorchError(
      "the weights hold numbers that are not finite (NaN or infinity), in \(parameters.first?.name ?? "none")"
        + (parameters.count > 1 ? " and \(parameters.count - 1) more" : "")
        + ": they are damaged, or were trained with too high a learning rate")
  }
}

/// How a parameter begins.
public enum Initializer: Sendable {
  /// The same number everywhere.
  case constant(Double)
  /// Mean 0.
  case normal(std: Double)
  /// Between -bound and bound.
  case uniform(bound: Double)

  /// PyTorch's `kaiming_normal_` with its defaults: normal of standard deviation √(2 / fanIn).
  public static func kaimingNormal(fanIn: Int) -> Initializer {
    .normal(std: (2 / Double(fanIn)).squareRoot())
  }

  /// What PyTorch's `Linear` draws its weight from: `kaiming_uniform_` with a = √5, which is uniform within
  /// 1 / √fanIn. Computed as PyTorch does, so that the same seed gives the same weights to the last bit.
  public static func linearWeight(fanIn: Int) -> Initializer {
    let gain = (2 / (1 + 5.0)).squareRoot()
    return .uniform(bound: 3.0.squareRoot() * (gain / Double(fanIn).squareRoot()))
  }

  /// What PyTorch's `Linear` draws its bias from.
  public static func linearBias(fanIn: Int) -> Initializer { .uniform(bound: 1 / Double(fanIn).squareRoot()) }
}

/// All parameters of a model, in the order in which its layers were built: the one place that creates, counts,
/// freezes, saves and loads them.
public final class ParameterStore {
  /// What new parameters hold.
  public enum Contents {
    /// Draws by each layer's own rule.
    case random(Generator)
    /// Whatever the memory held: for a model that is loaded next.
    case uninitialized
  }

  /// Of the parameters that are made.
  public let dtype: DType
  /// Where they are made.
  public let device: Device
  /// In the order in which layers made them.
  public private(set) var parameters: [Parameter] = []
  /// What the model was prepared for, where it was.
  public var precision: Precision?
  private var contents: Contents

  /// An empty store, whose parameters layers make.
  public init(contents: Contents, dtype: DType = .float32, device: Device = .cpu) {
    self.contents = contents
    self.dtype = dtype
    self.device = device
  }

  /// Where the model's own parameters begin.
  public var root: ParameterPath { ParameterPath(store: self, name: "") }

  /// Without the buffers.
  public var trainable: [Parameter] { parameters.filter(\.isTrainable) }

  /// The number of trainable elements.
  public var count: Int { trainable.reduce(0) { $0 + $1.count } }

  fileprivate func add(_ name: String, shape: [Int], initializer: Initializer, role: Parameter.Role) throws
    -> Parameter
  {
    let value = try Tensor(uninitialized: shape, dtype: dtype, device: device)
    try draw(value, initializer)
    return try append(Parameter(name: name, value: value, role: role))
  }

  /// Draws a parameter's value again, by another rule.
  public func redraw(_ parameter: Parameter, _ initializer: Initializer) throws {
    try parameter.checkUnprepared()
    try draw(parameter.value, initializer)
  }

  private func draw(_ value: Tensor, _ initializer: Initializer) throws {
    guard case .random(let generator) = contents else { return }
    // Drawn on the CPU in float32, so that a seed gives the same weights on every device and in every dtype.
    let isPlain = device == .cpu && dtype == .float32
    let drawn = isPlain ? value : try Tensor(uninitialized: value.shape)
    switch initializer {
    case .constant(let number): try drawn.fill_(number)
    case .normal(let std): try drawn.normal_(std: std, generator: generator)
    case .uniform(let bound): try drawn.uniform_(-bound, bound, generator: generator)
    }
    if !isPlain { try value.copy_(drawn) }
  }

  /// Adds parameters that begin with other contents than the store's.
  func withContents<Result>(_ other: Contents, _ body: () throws -> Result) rethrows -> Result {
    let before = contents
    contents = other
    defer { contents = before }
    return try body()
  }

  /// - Throws: `TorchError` once the model was prepared for inference: then it can be neither saved, loaded nor trained.
  func checkUnprepared() throws {
    for parameter in parameters { try parameter.checkUnprepared() }
  }

  func remove(_ names: Set<String>) { parameters.removeAll { names.contains($0.name) } }

  fileprivate func append(_ parameter: Parameter) throws -> Parameter {
    guard !parameters.contains(where: { $0.name == parameter.name }) else {
      throw TorchError("two parameters have the name \(parameter.name)")
    }
    parameters.append(parameter)
    return parameter
  }
}

/// A place in a model's tree of names: `root / "decoder" / "layers" / 3`.
public struct ParameterPath {
  /// What parameters under this path belong to.
  public let store: ParameterStore
  /// Its components with points between; empty for the root.
  public let name: String

  /// The place of this name under `path`.
  public static func / (path: ParameterPath, component: String) -> ParameterPath {
    ParameterPath(store: path.store, name: path.name.isEmpty ? component : "\(path.name).\(component)")
  }

  /// The place of this number under `path`.
  public static func / (path: ParameterPath, index: Int) -> ParameterPath { path / "\(index)" }

  /// A new parameter under this path, drawn by its initializer.
  public func parameter(
    _ name: String, shape: [Int], _ initializer: Initializer, role: Parameter.Role = .weight
  ) throws -> Parameter {
    try store.add((self / name).name, shape: shape, initializer: initializer, role: role)
  }

  /// A tensor that is saved and loaded but not trained; kept in its own dtype.
  public func buffer(_ name: String, _ value: Tensor) throws -> Parameter {
    try store.append(
      Parameter(name: (self / name).name, value: value.to(device: store.device), role: .buffer))
  }
}
