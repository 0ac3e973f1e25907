// The kubeconfig a test's clients use.
#include "kubeconfig.hpp"

#include "file.hpp"

namespace kubesim {

std::string kubeconfig(const std::string &url, const Certificates &certificates, const std::string &token,
                       const std::string &read_only_token) {
    std::string text = "apiVersion: v1\n"
                       "kind: Config\n"
                       "current-context: kubesim\n"
                       "clusters:\n"
                       "- name: kubesim\n"
                       "  cluster:\n"
                       "    server: " +
                       url +
                       "\n"
                       "    certificate-authority-data: " +
                       base64(certificates.authority.certificate) +
                       "\n"
                       "users:\n"
                       "- name: kubesim\n"
                       "  user:\n"
                       "    client-certificate-data: " +
                       base64(certificates.admin.certificate) +
                       "\n"
                       "    client-key-data: " +
                       base64(certificates.admin.key) + "\n";
    std::string contexts = "contexts:\n";
    auto context = [&](const std::string &name) {
        contexts += "- name: " + name + "\n  context: {cluster: kubesim, user: " + name + "}\n";
    };
    auto with_token = [&](const std::string &name, const std::string &secret) {
        text += "- name: " + name + "\n  user:\n    token: " + secret + "\n";
        context(name);
    };
    context("kubesim");
    with_token("kubesim-token", token);
    with_token("kubesim-viewer", read_only_token);
    return text + contexts;
}

} // namespace kubesim
