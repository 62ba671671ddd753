// Package kubernetes_test holds meshnet.yaml to the schema of the Kubernetes API and to the programs that it runs.
package kubernetes_test

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// documents returns the objects of the manifest as text.
func documents(t *testing.T) [][]byte {
	t.Helper()
	text, err := os.ReadFile("meshnet.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(text, []byte("\n---\n"))
}

// daemonSet returns the manifest's only DaemonSet. Every object is decoded strictly: an unknown or repeated field is an error.
func daemonSet(t *testing.T) (ds appsv1.DaemonSet, secret corev1.Secret, config corev1.ConfigMap) {
	t.Helper()
	into := map[string]any{"DaemonSet apps/v1": &ds, "Secret v1": &secret, "ConfigMap v1": &config}
	for _, doc := range documents(t) {
		var kind struct{ Kind, APIVersion string }
		if err := yaml.Unmarshal(doc, &kind); err != nil {
			t.Fatal(err)
		}
		object := into[kind.Kind+" "+kind.APIVersion]
		if object == nil {
			t.Fatalf("the manifest has a %s of %s, once too often or unexpected", kind.Kind, kind.APIVersion)
		}
		delete(into, kind.Kind+" "+kind.APIVersion)
		if err := yaml.UnmarshalStrict(doc, object); err != nil {
			t.Fatalf("%s: %v", kind.Kind, err)
		}
	}
	if len(into) > 0 {
		t.Fatalf("the manifest lacks %v", into)
	}
	return ds, secret, config
}

// What the API server checks beyond the types (pkg/apis/core/validation), as far as the manifest uses it.
func TestSchema(t *testing.T) {
	ds, secret, config := daemonSet(t)
	spec := ds.Spec.Template.Spec
	name := regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`) // RFC 1123 label
	for key, value := range ds.Spec.Selector.MatchLabels {
		if ds.Spec.Template.Labels[key] != value {
			t.Errorf("the selector's %s=%s is no label of the template", key, value)
		}
	}
	volumes := make(map[string]bool)
	for _, v := range spec.Volumes {
		if !name.MatchString(v.Name) || volumes[v.Name] {
			t.Errorf("volume %q is no label, or there twice", v.Name)
		}
		volumes[v.Name] = true
		if v.Secret != nil && v.Secret.SecretName != secret.Name || v.ConfigMap != nil && v.ConfigMap.Name != config.Name {
			t.Errorf("volume %s is of an object that the manifest does not have", v.Name)
		}
		if h := v.HostPath; h != nil && (!strings.HasPrefix(h.Path, "/") || strings.Contains(h.Path, "..") || h.Type == nil) {
			t.Errorf("volume %s has the path %s, without type or not absolute", v.Name, h.Path)
		}
	}
	used, seen := make(map[string]bool), make(map[string]bool)
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		if !name.MatchString(c.Name) || seen[c.Name] || c.Image == "" || len(c.Command) == 0 {
			t.Errorf("container %q: name is no label or there twice, or image or command is missing", c.Name)
		}
		seen[c.Name] = true
		paths := make(map[string]bool)
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] || paths[m.MountPath] || !strings.HasPrefix(m.MountPath, "/") {
				t.Errorf("container %s mounts %s at %s: no such volume, or not a path of its own", c.Name, m.Name, m.MountPath)
			}
			used[m.Name], paths[m.MountPath] = true, true
		}
	}
	for v := range volumes {
		if !used[v] {
			t.Errorf("nobody mounts volume %s", v)
		}
	}
	for _, meta := range []string{ds.Namespace, secret.Namespace, config.Namespace} {
		if meta != "kube-system" {
			t.Errorf("an object is in namespace %q", meta)
		}
	}
}

// "Without roles": nothing of the pod speaks to the API server.
func TestNoRBAC(t *testing.T) {
	ds, _, _ := daemonSet(t)
	spec := ds.Spec.Template.Spec
	if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken || spec.ServiceAccountName != "" || !spec.HostNetwork {
		t.Errorf("the pod has a token or a service account, or is not in the host's network: %+v", spec)
	}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		if len(c.Env)+len(c.EnvFrom) > 0 {
			t.Errorf("container %s has variables, which may come from the API", c.Name)
		}
	}
}

// The commands of the manifest are ones that the programs take, and the Dockerfile has these programs.
func TestCommands(t *testing.T) {
	ds, secret, config := daemonSet(t)
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", dir, "../../meshctl", "../../meshd").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	dockerfile, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	spec := ds.Spec.Template.Spec
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		program := c.Command[0]
		if !strings.Contains(string(dockerfile), "bin/"+program+" ") {
			t.Errorf("the image has no %s", program)
		}
		args := append(slices.Clone(c.Command[1:]), "--help") // flags before it are parsed
		if out, err := exec.Command(dir+"/"+program, args...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v: %s", c.Command, err, out)
		}
	}
	if _, ok := config.Data["meshd.toml"]; !ok || secret.StringData["token"] == "" {
		t.Errorf("the manifest lacks meshd.toml or token")
	}
}
