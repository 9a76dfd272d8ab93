// EM by Armadillo's gmm_full and gmm_diag, for bench/tables/rivals.py, which compiles and calls it.
//
// Arrays are C-contiguous, rows by features, which is Armadillo's features by rows. Parameters are
// read as the start, and overwritten with what the passes end with.

#include <armadillo>

template <typename Model, typename Covariances>
static bool climb(const double *rows, int n_rows, int n_features, int n_components, int passes,
                  double *weights, double *means, double *covariances, Covariances from) {
    const arma::mat data(const_cast<double *>(rows), n_features, n_rows, false, true);
    const std::size_t size = from.n_elem;
    Model model;
    model.set_params(arma::mat(means, n_features, n_components), from,
                     arma::rowvec(weights, n_components));
    const bool good = model.learn(data, n_components, arma::maha_dist, arma::keep_existing,
                                  0, passes, 1e-6, false);
    std::copy_n(model.hefts.memptr(), n_components, weights);
    std::copy_n(model.means.memptr(), n_features * n_components, means);
    if constexpr (std::is_same_v<Model, arma::gmm_full>)
        std::copy_n(model.fcovs.memptr(), size, covariances);
    else
        std::copy_n(model.dcovs.memptr(), size, covariances);
    return good;
}

extern "C" int fit(int full, const double *rows, int n_rows, int n_features, int n_components,
                   int passes, double *weights, double *means, double *covariances) {
    if (full)
        return climb<arma::gmm_full>(
            rows, n_rows, n_features, n_components, passes, weights, means, covariances,
            arma::cube(covariances, n_features, n_features, n_components));
    return climb<arma::gmm_diag>(rows, n_rows, n_features, n_components, passes, weights, means,
                                 covariances, arma::mat(covariances, n_features, n_components));
}

extern "C" const char *version() {
    static const std::string text = arma::arma_version::as_string();
    return text.c_str();
}
