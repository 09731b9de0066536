{{- define "carrick.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{/* What Carrick does not share with other releases has fixed names: the admission policies name the agents' service account. */}}
{{- define "carrick.check" -}}
{{- if ne .Release.Name "carrick" -}}
{{- fail (printf "The release must have the name carrick, not %s: helm install carrick CHART --namespace kube-system" .Release.Name) -}}
{{- end -}}
{{- if ne .Release.Namespace "kube-system" -}}
{{- fail (printf "The release must be in the namespace kube-system, not %s: helm install carrick CHART --namespace kube-system. The chart makes the namespace carrick-system for its pods." .Release.Namespace) -}}
{{- end -}}
{{- end -}}

{{/* A file of the chart. Objects with the annotation helm.sh/resource-policy: keep outlive the release, unless keepOnUninstall is false. */}}
{{- define "carrick.file" -}}
{{- $text := .root.Files.Get .name -}}
{{- if not $text -}}{{- fail (printf "the chart has no file %s" .name) -}}{{- end -}}
{{- if not .root.Values.keepOnUninstall -}}
{{- /* Helm deletes no object that has this annotation, whatever its value. */ -}}
{{- $text = $text | replace "    helm.sh/resource-policy: keep\n" "" | replace "  annotations:\n  labels:" "  labels:" -}}
{{- end -}}
{{ $text }}
{{- end -}}

{{/* The API server's address: the value, else what kubeadm published in the cluster. */}}
{{- define "carrick.apiServer" -}}
{{- if .Values.apiServer -}}
{{- .Values.apiServer -}}
{{- else -}}
{{- $info := lookup "v1" "ConfigMap" "kube-public" "cluster-info" -}}
{{- $kubeconfig := dig "data" "kubeconfig" "" $info | fromYaml -}}
{{- $server := "" -}}
{{- range dig "clusters" list $kubeconfig -}}{{- $server = dig "cluster" "server" "" . -}}{{- end -}}
{{- required "Set apiServer to the URL at which nodes reach the API server without the mesh: --set apiServer=https://203.0.113.1:6443. The chart finds it by itself only in clusters that kubeadm made (ConfigMap cluster-info in kube-public), and not in `helm template`. The presets for k3s and Talos set it." $server -}}
{{- end -}}
{{- end -}}

{{/* The spec of the Mesh: the value, with the Service CIDRs that kubeadm published in the cluster where the value has none. */}}
{{- define "carrick.meshSpec" -}}
{{- $spec := deepCopy .Values.mesh.spec -}}
{{- if not (hasKey $spec "serviceCIDRs") -}}
{{- $kubeadm := lookup "v1" "ConfigMap" "kube-system" "kubeadm-config" -}}
{{- $configuration := dig "data" "ClusterConfiguration" "" $kubeadm | fromYaml -}}
{{- with dig "networking" "serviceSubnet" "" $configuration -}}
{{- $_ := set $spec "serviceCIDRs" (splitList "," .) -}}
{{- end -}}
{{- end -}}
{{- toYaml $spec -}}
{{- end -}}

{{/* The variables of the agents. */}}
{{- define "carrick.environment" -}}
{{- $environment := dict "CARRICK_API_SERVER" (include "carrick.apiServer" .) -}}
{{- $scraped := or .Values.monitoring.podMonitor .Values.monitoring.scrapeAnnotations -}}
{{- $_ := set $environment "CARRICK_LISTEN" (ternary "loopback,internal" "loopback" $scraped) -}}
{{- range $name, $value := .Values.settings.environment -}}
{{- $_ := set $environment $name ($value | toString) -}}
{{- end -}}
{{- toYaml $environment -}}
{{- end -}}

{{/* What the pods of both DaemonSets share. */}}
{{- define "carrick.pod" -}}
priorityClassName: {{ .Values.priorityClassName }}
hostNetwork: true
dnsPolicy: Default
# A Service of the name `carrick` would set variables such as CARRICK_PORT.
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end -}}

{{/* A security context with the given capabilities and no others. */}}
{{- define "carrick.securityContext" -}}
runAsUser: 0
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
  {{- with .capabilities }}
  add: [{{ join ", " . }}]
  {{- end }}
seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.seLinuxOptions }}
seLinuxOptions: {{ toJson . }}
{{- end }}
{{- end -}}
