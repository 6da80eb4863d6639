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
    private let cropAndScaleOption: VNImageCropAndScaleOption

    init() throws {
        // Xcode compiles Classifier.mlpackage, or Classifier.mlmodel, to this.
        guard let url = Bundle.main.url(forResource: "Classifier", withExtension: "mlmodelc") else {
            throw ClassifierError.noModel
        }
        let coreMLModel = try MLModel(contentsOf: url)
        model = try VNCoreMLModel(for: coreMLModel)
        cropAndScaleOption = Self.cropAndScaleOption(for: coreMLModel)
    }

    /// Returns the option with which Vision resizes images as training did (`--fit`).
    private static func cropAndScaleOption(for model: MLModel) -> VNImageCropAndScaleOption {
        let fields = model.modelDescription.metadata[.creatorDefinedKey] as? [String: String]
        let text = fields?["retrain_metadata"] ?? "{}"
        let json = try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
        switch json?["fit"] as? String {
        case "crop": return .centerCrop
        case "pad": return .scaleFit
        default: return .scaleFill  // By default, training stretches the whole image to a square.
        }
    }

    /// Returns the `count` best labels, best first.
    func predictions(for image: UIImage, count: Int = 3) throws -> [Prediction] {
        guard let pixels = image.cgImage else { throw ClassifierError.noPixels }
        let request = VNCoreMLRequest(model: model)
        request.imageCropAndScaleOption = cropAndScaleOption
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
