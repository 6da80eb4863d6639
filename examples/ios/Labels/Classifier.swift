import CoreML
import ImageIO
import UIKit
import Vision

struct Prediction: Identifiable {
    let label: String
    let confidence: Float

    var id: String { label }
}

enum ClassifierError: LocalizedError {
    case noModel
    case noPixels

    var errorDescription: String? {
        switch self {
        case .noModel: return "The app contains no Classifier.mlpackage; see README.md."
        case .noPixels: return "This image cannot be read."
        }
    }
}

/// Labels images with the model that retrain wrote.
struct Classifier {
    private let model: VNCoreMLModel

    init() throws {
        // Xcode compiles Classifier.mlpackage, or Classifier.mlmodel, to this.
        guard let url = Bundle.main.url(forResource: "Classifier", withExtension: "mlmodelc") else {
            throw ClassifierError.noModel
        }
        model = try VNCoreMLModel(for: MLModel(contentsOf: url))
    }

    /// Returns the `count` best labels, best first.
    func predictions(for image: UIImage, count: Int = 3) throws -> [Prediction] {
        guard let pixels = image.cgImage else { throw ClassifierError.noPixels }
        let request = VNCoreMLRequest(model: model)
        // As in training, scales the whole image to a square instead of cropping it.
        request.imageCropAndScaleOption = .scaleFill
        let orientation = CGImagePropertyOrientation(image.imageOrientation)
        try VNImageRequestHandler(cgImage: pixels, orientation: orientation).perform([request])
        let observations = request.results as? [VNClassificationObservation] ?? []
        return observations
            .sorted { $0.confidence > $1.confidence }
            .prefix(count)
            .map { Prediction(label: $0.identifier, confidence: $0.confidence) }
    }
}

private extension CGImagePropertyOrientation {
    init(_ orientation: UIImage.Orientation) {
        switch orientation {
        case .up: self = .up
        case .upMirrored: self = .upMirrored
        case .down: self = .down
        case .downMirrored: self = .downMirrored
        case .left: self = .left
        case .leftMirrored: self = .leftMirrored
        case .right: self = .right
        case .rightMirrored: self = .rightMirrored
        @unknown default: self = .up
        }
    }
}
