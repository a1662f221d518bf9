# The functions of Microsoft's ca-certs.ps1, done by edgeca: no openssl, and nothing is wiped.
#
#   . .\ca-certs.ps1
#   New-CACertsCertChain rsa
#
# What they make lies under the names of that script in .\certs and .\private, and under edgeca's own beside them.
# $env:EDGECA names the program, if it is not in the path; $env:DEFAULT_VALIDITY_DAYS sets how long leaves live.

Set-StrictMode -Version 2.0

function Invoke-EdgeCA {
    param([Parameter(Mandatory = $true)][string[]] $Words)

    $program = if (Test-Path env:EDGECA) { $env:EDGECA } else { 'edgeca' }
    & $program @Words --dir . --layout azure
    if ($LASTEXITCODE -ne 0) {
        throw "edgeca $($Words -join ' ') ended with exit code $LASTEXITCODE; what it said stands above"
    }
}

function Add-Days {
    param([Parameter(Mandatory = $true)][string[]] $Words)

    if (Test-Path env:DEFAULT_VALIDITY_DAYS) {
        return $Words + @('--days', $env:DEFAULT_VALIDITY_DAYS)
    }
    return $Words
}

function Test-CACertsPrerequisites {
    $program = if (Test-Path env:EDGECA) { $env:EDGECA } else { 'edgeca' }
    if ($null -eq (Get-Command $program -ErrorAction SilentlyContinue)) {
        throw "$program is not in the path. Install it with: pip install ./certs"
    }
    Write-Output 'SUCCESS'
}

# ecc is EC P-256 here, which TLS stacks and IoT Edge take.
function New-CACertsCertChain {
    param([Parameter(Mandatory = $true)][ValidateSet('rsa', 'ecc')][string] $algorithm)

    if ($algorithm -eq 'rsa') { $kind = @('--rsa', '4096') } else { $kind = @('--ec') }
    Invoke-EdgeCA -Words (@('init') + $kind)
}

function Install-RootCACertificate {
    param(
        [Parameter(Mandatory = $true)][string] $rootCAFile,
        [Parameter(Mandatory = $true)][string] $rootCAKeyFile,
        [ValidateSet('rsa', 'ecc')][string] $algorithm = 'rsa',
        [string] $rootPasswordFile = ''
    )

    $words = @('init', '--root', $rootCAFile, '--root-key', $rootCAKeyFile)
    if ($rootPasswordFile) { $words += @('--root-password-file', $rootPasswordFile) }
    if ($algorithm -eq 'ecc') { $words += '--ec' }
    Invoke-EdgeCA -Words $words
}

function New-CACertsEdgeDevice {
    param([Parameter(Mandatory = $true)][string] $deviceName)

    Invoke-EdgeCA -Words (Add-Days -Words @('edge-ca', $deviceName.Trim()))
}

function New-CACertsEdgeDeviceIdentity {
    param([Parameter(Mandatory = $true)][string] $deviceName)

    Invoke-EdgeCA -Words (Add-Days -Words @('edge-id', $deviceName.Trim()))
}

function New-CACertsEdgeServer {
    param([Parameter(Mandatory = $true)][string[]] $hostName)

    Invoke-EdgeCA -Words (Add-Days -Words (@('server') + $hostName))
}

function New-CACertsDevice {
    param(
        [Parameter(Mandatory = $true)][string] $deviceName,
        [bool] $isEdgeDevice = $false
    )

    if ($isEdgeDevice) {
        New-CACertsEdgeDevice $deviceName
    }
    else {
        Invoke-EdgeCA -Words (Add-Days -Words @('device', $deviceName.Trim()))
    }
}

function New-CACertsVerificationCert {
    param([Parameter(Mandatory = $true)][string] $requestedCommonName)

    Invoke-EdgeCA -Words @('proof', $requestedCommonName.Trim())
}
