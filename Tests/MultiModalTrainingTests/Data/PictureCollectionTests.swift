import Foundation
import Testing

@testable import MultiModalTraining

@Suite struct PictureCollectionTests {
  private func folder() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    for name in ["b.JPG", "a/c.png", "a/notes.txt", ".hidden/d.png", "a/.e.png", "z"] {
      try folder.write("", name)
    }
    let tar = TarMaker.tar([("1.jpg", "one"), ("1.txt", "text"), ("._1.jpg", ""), ("x/2.webp", "two")])
    try tar.write(to: folder.file("a/part.tar"))
    return folder
  }

  @Test func aFolderIsSearchedWithAllBelowIt() throws {
    let folder = try folder()
    let names = try PictureCollection.pieces(of: folder.url).map { $0.map(\.name) }
    #expect(
      names == [
        [folder.file("a/c.png").path],
        ["1.jpg", "x/2.webp"].map { folder.file("a/part.tar").path + "/" + $0 },
        [folder.file("b.JPG").path],
      ])
  }

  @Test func aFileThatIsNamedIsAPictureWhateverItIsCalled() throws {
    let folder = try folder()
    #expect(try PictureCollection.pieces(of: folder.file("z")).count == 1)
  }

  @Test func processesShareThePicturesWithoutCuttingAnArchive() throws {
    let folder = try folder()
    let pieces = try PictureCollection.pieces(of: folder.url)
    let shares = (0..<2).map { PictureCollection.share(pieces, rank: $0, of: 2).map(\.name.count) }
    #expect(shares.map(\.count) == [2, 2])
    #expect(PictureCollection.share(pieces, rank: 3, of: 4).isEmpty)
  }

  @Test func whereThereIsNoPictureASentenceSaysSo() throws {
    let folder = try TemporaryFolder()
    try folder.write("", "notes.txt")
    #expect { try PictureCollection.pieces(of: folder.url) } throws: { "\($0)".contains("holds no picture") }
    #expect { try PictureCollection.pieces(of: folder.file("none")) } throws: {
      "\($0)".contains("does not exist")
    }
  }
}
