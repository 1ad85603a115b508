import Foundation
import MultiModalModel

/// What a captioner is asked, and what it answers.
extension Captioner {
  /// A text for a picture.
  public struct Caption: Sendable, Equatable {
    /// Without the prompt.
    public let text: String
    /// Token ids and the model's log-probability of each.
    public let tokens: [Int]
    /// Of each token, as a natural logarithm.
    public let logProbabilities: [Double]
    /// Why the text ends.
    public let finish: GeneratedText.FinishReason
    /// Of a beam search; nil otherwise.
    public let score: Double?

    /// How sure the model is: the mean of its tokens' probabilities, from 0 to 1. 0 without tokens.
    public var confidence: Double {
      logProbabilities.reduce(0) { $0 + exp($1) } / Double(max(logProbabilities.count, 1))
    }
  }

  /// What a text is asked for.
  public struct Request: Sendable {
    /// What the text begins with, as in training; nil for none.
    public var prompt: String?
    /// What ends the model's texts is always a stop token too.
    public var options = GenerationOptions()
    /// Strings at which a text ends, without them.
    public var stopStrings: [String] = []

    /// What texts are asked for; without arguments a greedy one.
    public init(
      prompt: String? = nil, options: GenerationOptions = GenerationOptions(), stopStrings: [String] = []
    ) {
      self.prompt = prompt
      self.options = options
      self.stopStrings = stopStrings
    }
  }

  /// A picture and what is asked for it.
  public struct Input: Sendable {
    /// What `processor` makes a processed picture of, if it is not one yet.
    public enum Source: Sendable {
      /// As `processor` makes it.
      case processed(ProcessedImage)
      /// What errors call a file whose bytes are read when its turn comes.
      case bytes(name: String, @Sendable () throws -> Data)
      /// A file of any format that `processor` reads.
      case file(URL)
      /// A picture that is made when its turn comes.
      case decoded(@Sendable () throws -> Picture)
    }

    /// In any form.
    public var picture: Source
    /// What is asked for it; `defaultRequest` when nil.
    public var request: Request?

    /// - Parameter request: `defaultRequest` when nil
    public init(_ picture: ProcessedImage, _ request: Request? = nil) {
      self.picture = .processed(picture)
      self.request = request
    }

    /// - Parameters:
    ///   - picture: the bytes of a file of any format that `processor` reads
    ///   - request: `defaultRequest` when nil
    public init(_ picture: Data, _ request: Request? = nil) {
      self.init(name: "given as bytes", request) { picture }
    }

    /// - Parameters:
    ///   - name: what errors call the picture
    ///   - request: `defaultRequest` when nil
    ///   - bytes: reads those of a file; called once, when its turn comes
    public init(name: String, _ request: Request? = nil, bytes: @escaping @Sendable () throws -> Data) {
      picture = .bytes(name: name, bytes)
      self.request = request
    }

    /// - Parameters:
    ///   - decoded: makes the picture; called once, when its turn comes
    ///   - request: `defaultRequest` when nil
    public init(decoded: @escaping @Sendable () throws -> Picture, _ request: Request? = nil) {
      picture = .decoded(decoded)
      self.request = request
    }

    /// - Parameter request: `defaultRequest` when nil
    public init(contentsOf picture: URL, _ request: Request? = nil) {
      self.picture = .file(picture)
      self.request = request
    }
  }
}
